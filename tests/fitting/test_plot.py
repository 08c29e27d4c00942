from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.fitting.fit import fit
from gemma4ctl.fitting.plot import BEST, curves, write
from tests.fitting.hosts import FEW, asked, planner
from tests.planning.hosts import node, table

REQUEST = asked("H200", 1, context_length=None)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    found = fit([REQUEST], node("H200", 1), table(), FEW)
    for name in ("one.svg", "two.svg", "one.png"):
        write(found, REQUEST, planner("H200", 1), folder / name)
    return folder


def test_an_svg_is_drawn_the_same_twice(drawn: Path) -> None:
    ElementTree.parse(drawn / "one.svg")
    assert (drawn / "one.svg").read_bytes() == (drawn / "two.svg").read_bytes()


def test_a_png(drawn: Path) -> None:
    assert (drawn / "one.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_best_split_is_never_below_the_others() -> None:
    found = {curve.name: curve.points for curve in curves(planner("H200", 1), REQUEST, [8_192])}
    assert set(found) == {"published values", "split for 8k", BEST}
    best = {point.tokens: point.requests for point in found.pop(BEST)}
    assert len(best) > 30
    for points in found.values():
        for point in points:
            assert point.requests <= best[point.tokens] + 1


def test_the_longest_length_is_that_of_the_context() -> None:
    request = REQUEST.model_copy(update={"context_length": 5_000})
    (*_, last) = curves(planner("H200", 1), request, [1_024])[0].points
    assert last.tokens == 5_000


def test_nothing_to_draw_without_a_memory_model(tmp_path: Path) -> None:
    request = asked("Xeon", model="E2B")
    found = fit([request], node("Xeon"), table(), FEW)
    with pytest.raises(UsageError, match="nothing to draw"):
        write(found, request, planner("Xeon"), tmp_path / "x.svg")
