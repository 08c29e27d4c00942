"""What a terminal shows, as text of 110 columns."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from gemma4ctl.bench.reports import tables
from gemma4ctl.bench.reports.compare import compare
from gemma4ctl.bench.reports.figures import number
from gemma4ctl.bench.reports.reference import beside_published
from tests.bench.reports.samples import result, scenario, served

GOLDEN = Path(__file__).parent / "golden"


def shown(renderable) -> str:
    console = Console(file=io.StringIO(), width=110, color_system=None)
    console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def test_a_comparison() -> None:
    old = result(scenario("text-c1", (1, 1.01, 0.99)), scenario("text-c100"), scenario("image-c1"))
    new = result(
        scenario("text-c1", (0.94, 0.95, 0.96)),
        scenario("text-c100", (1.05,)),
        served=served(tp=2, release="0.5.23"),
    )
    assert shown(tables.comparison(compare(old, new))) == (GOLDEN / "comparison.txt").read_text()


def test_a_reference() -> None:
    found = beside_published(result(scenario("text-c1"), scenario("text-c100", (1.1,))))
    assert shown(tables.reference(found)) == (GOLDEN / "reference.txt").read_text()


def test_nothing_published() -> None:
    found = beside_published(result(hardware=None, served=served(variant=None)))
    text = shown(tables.reference(found))
    assert text.startswith("Nothing comparable is published.\n")
    assert "the variant is not known" in text


def test_a_run_without_figures_of_ours_has_no_gain() -> None:
    row = beside_published(result(scenario("text-c1"))).rows[0]
    value = row.values[0].model_copy(update={"measured": None, "gain": None})
    found = beside_published(result(scenario("text-c1"))).model_copy(
        update={"rows": (row.model_copy(update={"values": (value,)}),), "not_comparable": ()}
    )
    words = shown(tables.reference(found)).splitlines()[2].split()
    assert words == ["Output,", "tok/s", "242.0", "-", "-"]


def test_numbers() -> None:
    assert [number(value) for value in (9876.4, 242.03, 3.994, 0.5)] == [
        "9,876",
        "242.0",
        "3.99",
        "0.50",
    ]
