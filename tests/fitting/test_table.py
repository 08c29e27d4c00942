from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from gemma4ctl.fitting.bar import bar, parts
from gemma4ctl.fitting.document import FitDocument
from gemma4ctl.fitting.table import report
from gemma4ctl.planning.plan import MemoryStages
from tests.fitting.samples import CANNOT, LESS, USAGE, document, variant

GOLDEN = Path(__file__).parent / "golden"
DOCUMENTS = {
    "one": document(variant()),
    "nearest": document(LESS),
    "all": document(variant(), LESS, CANNOT, variant(variant="E2B", usage=None, lengths=())),
    "nothing": document(CANNOT, hardware=None),
}
WIDTHS = (80, 120)


def plain(found: FitDocument, width: int) -> str:
    """The report without colour and trailing blanks."""
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(report(found, width), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_reports_look_as_they_did(name: str, width: int) -> None:
    """``python -m tests.fitting.test_table`` writes the files anew after a change that is meant."""
    text = plain(DOCUMENTS[name], width)
    assert text == (GOLDEN / f"{name}.{width}.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [50, 60, 110])
@pytest.mark.parametrize("name", ["one", "all"])
def test_no_figure_is_cut_where_the_window_is_narrow(name: str, width: int) -> None:
    text = plain(DOCUMENTS[name], width)
    assert "…" not in text
    wide = plain(DOCUMENTS[name], 120 if width == 110 else 100)
    assert set(re.findall(r"[0-9,]{5,}", text)) >= set(re.findall(r"[0-9,]{5,}", wide))


def test_every_part_of_the_bar_has_a_sign_of_its_own() -> None:
    found = parts(USAGE)
    assert len({part.sign for part in found}) == len(found) == 8
    drawn, *legend = bar(USAGE, 80).plain.splitlines()
    for part in found:
        assert part.sign in drawn
        assert f"{part.sign} {part.name} " in " ".join(legend)


@pytest.mark.parametrize("width", [20, 79, 80, 120])
def test_the_bar_is_as_wide_as_told_and_in_proportion(width: int) -> None:
    drawn = bar(USAGE, width).plain.splitlines()[0]
    assert len(drawn) == width
    weights = drawn.count("W") / width
    assert weights == pytest.approx(USAGE.weights / USAGE.total, abs=8 / width)


def test_what_takes_no_memory_is_left_out() -> None:
    crowded: MemoryStages = USAGE.model_copy(update={"draft": 0, "free": -100})
    text = bar(crowded, 80).plain
    assert "draft" not in text
    assert "free" not in text


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, found in DOCUMENTS.items():
        for width in WIDTHS:
            (GOLDEN / f"{name}.{width}.txt").write_text(plain(found, width), encoding="utf-8")


if __name__ == "__main__":
    write()
