"""The measures of work tell little from much."""

from __future__ import annotations

import sys

import pytest

from tests import effort
from tests.effort import SOON_S, calls, linear


def test_calls_of_python_and_c_are_counted() -> None:
    def work() -> None:
        for _ in range(10):
            len("")

    assert calls(work) == calls(work) == 1 + 10 + 1  # the last ends the profile
    assert sys.getprofile() is None


def test_what_calls_nothing_more_is_counted_though_it_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        calls(lambda: 1 / 0)
    assert sys.getprofile() is None


@pytest.mark.parametrize(
    ("power", "seconds", "found"),
    [(1, 1.0, True), (1, 1_000.0, True), (2, SOON_S / 2, True), (2, SOON_S * 2, False)],
    ids=["linear", "slow machine", "soon", "square"],
)
def test_what_grows_faster_is_found(
    monkeypatch: pytest.MonkeyPatch, power: int, seconds: float, found: bool
) -> None:
    clock = [0.0]

    def work(size: int) -> None:
        clock[0] += seconds * (size / 800) ** power

    monkeypatch.setattr(effort.time, "process_time", lambda: clock[0])
    assert linear(work, 800) is found
