from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gemma4ctl.bench.reports import plot
from gemma4ctl.bench.reports.reference import Reference, beside_published
from gemma4ctl.drawing import INK
from gemma4ctl.errors import UsageError
from tests.bench.reports.samples import result, scenario, served

NONE = Reference(date="", variant=None, platform=None)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    measured = result(scenario("text-c1", (1, 1.02)), scenario("text-c100"), scenario("image-c1"))
    for name in ("one.svg", "two.svg", "one.png"):
        plot.write(measured, beside_published(measured), folder / name)
    return folder


def test_an_svg_is_drawn_the_same_twice(drawn: Path) -> None:
    ElementTree.parse(drawn / "one.svg")
    assert (drawn / "one.svg").read_bytes() == (drawn / "two.svg").read_bytes()


def test_a_png(drawn: Path) -> None:
    assert (drawn / "one.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_points_are_series_of_equal_lengths() -> None:
    found = plot.points(result())
    assert {name: [p.name for p in each] for name, each in found.items()} == {
        "up to 1,024 in, 1,024 out": ["text-c1", "text-c100"],
        "2 images, up to 128 in, 1,024 out": ["image-c1", "image-c100"],
    }


def test_a_point_has_the_bounds_of_its_runs() -> None:
    (point,) = plot.points(result(scenario("text-c1", (0.9, 1.1))))["up to 1,024 in, 1,024 out"]
    assert point.throughput == pytest.approx(240)
    assert point.throughput_bounds == pytest.approx((216, 264))
    assert point.tpot_bounds == pytest.approx((4.02 / 1.1, 4.02 / 0.9))


def test_bars_and_rings_are_the_comparable_runs() -> None:
    found = beside_published(result(scenario("text-c1")))
    assert [bar.label for bar in plot.bars(found)] == [
        "text-c1: Output",
        "text-c1: TTFT, mean",
        "text-c1: TPOT, mean",
    ]
    assert plot.published(found) == [(242.03, 3.99)]
    own = scenario("text-c1")
    renamed = own.workload.model_copy(update={"name": "a-name-of-many-letters"})
    own = own.model_copy(update={"workload": renamed})
    assert plot.bars(beside_published(result(own)))[0].label == "a-name-o…y-letters: Output"
    assert plot.bars(NONE) == plot.published(NONE) == []


def test_svgs_for_a_page_hold_text_in_its_colour() -> None:
    measured = result(scenario("text-c1"), scenario("text-c100"))
    plane, bars = plot.svgs(measured, beside_published(measured))
    assert ">Throughput against latency<" in plane
    assert ">100 at a time<" in plane
    assert ">text-c1: TPOT, mean<" in bars
    for svg in (plane, bars):
        assert svg.startswith("<svg viewBox=")
        assert "currentColor" in svg
        assert INK not in svg
        assert "http" not in svg.replace("http://www.w3.org/", "")
        ElementTree.fromstring(svg)


def test_a_name_is_shown_as_it_is(tmp_path: Path) -> None:
    own = scenario("text-c1")
    own = own.model_copy(
        update={"workload": own.workload.model_copy(update={"name": "a<b> $\\bad$"})}
    )
    found = beside_published(result(own))
    _, bars = plot.svgs(result(own), found)
    assert "a&lt;b&gt; $\\bad$: Output" in bars


def test_without_published_figures_there_is_one_drawing() -> None:
    assert len(plot.svgs(result(scenario("text-c1")), NONE)) == 1


def test_a_drawing_in_words() -> None:
    assert plot.description(result(scenario("text-c1"))) == (
        "up to 1,024 in, 1,024 out: 240.0 tokens a second at 4.02 ms a token with 1 at a time"
    )


@pytest.mark.parametrize(
    ("changes", "heading"),
    [
        ({}, "Gemma 4 E2B on 1 x H200"),
        ({"served": served(mtp=True), "hardware": None}, "Gemma 4 E2B with MTP"),
        ({"served": served(variant=None), "hardware": None}, "google/gemma-4-E2B-it"),
    ],
)
def test_headings(changes, heading: str) -> None:
    assert plot.heading(result(**changes)) == heading


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no drawing") as caught:
        plot.write(result(), NONE, tmp_path / "x.gif")
    assert ".svg or .png" in str(caught.value)


def test_nothing_measured(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to draw"):
        plot.write(result(scenario("text-c1", ())), NONE, tmp_path / "x.svg")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot write"):
        plot.write(result(scenario("text-c1")), NONE, tmp_path / "missing" / "x.svg")


def test_somebody_elses_file_is_kept(drawn: Path, tmp_path: Path) -> None:
    assert all(plot.MARKER.encode() in file.read_bytes()[:2048] for file in drawn.iterdir())
    file = tmp_path / "x.png"
    file.write_text("somebody else's")
    with pytest.raises(UsageError, match="was not written by gemma4ctl"):
        plot.write(result(scenario("text-c1")), NONE, file)


def test_matplotlib_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="drawing needs the Python package matplotlib") as caught:
        plot.write(result(), NONE, tmp_path / "x.svg")
    assert "gemma4ctl[plot]" in str(caught.value)
