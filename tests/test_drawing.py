"""What drawings share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gemma4ctl import drawing
from gemma4ctl.errors import UsageError


def test_series_differ_in_colour_marker_and_line() -> None:
    for kind in zip(*drawing.SERIES, strict=True):
        assert len(set(kind)) == len(drawing.SERIES)


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.svg or \.png"):
        drawing.check_name(tmp_path / "drawing.pdf")


def test_somebody_elses_file_is_kept_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "mine.svg"
    file.write_text("mine")
    with drawing.style():
        canvas = drawing.figure(2, 2)
        with pytest.raises(UsageError, match="not written by gemma4ctl"):
            drawing.save(canvas, file, marker="gemma4ctl test")
        assert file.read_text() == "mine"
        drawing.save(canvas, file, marker="gemma4ctl test", force=True)
        drawing.save(canvas, file, marker="gemma4ctl test")
    assert "gemma4ctl test" in file.read_text()


def test_logarithmic_axes_have_only_the_ticks_given() -> None:
    with drawing.style():
        axes = drawing.figure(3, 3).add_subplot()
        axes.set_xscale("log")
        axes.set_xlim(1, 1000)
        drawing.ticks(axes, "x", [10.0, 100.0], ["ten", "hundred"])
        assert [text.get_text() for text in axes.get_xticklabels()] == ["ten", "hundred"]
        assert not list(axes.get_xticks(minor=True))


def test_without_matplotlib_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"gemma4ctl\[plot\]"):
        drawing.style()
