"""Intervals, against the worked examples of their authors."""

from __future__ import annotations

import pytest

from gemma4ctl.evaluation.intervals import difference, wilson


# Newcombe 1998, Statistics in Medicine 17:857, table I, method 3 (score without correction).
@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson(right: int, asked: int, low: float, high: float) -> None:
    assert wilson(right, asked) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize("asked", [1, 7, 35, 40, 1319])
def test_none_and_all_right_are_bounds_themselves(asked: int) -> None:
    assert wilson(0, asked).low == 0.0
    assert wilson(asked, asked).high == 1.0


# Newcombe 1998, Statistics in Medicine 17:873, table II, method 10.
@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_difference(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    shares = (first[0] / first[1], first[1], second[0] / second[1], second[1])
    assert difference(*shares) == pytest.approx((low, high), abs=6e-5)


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    assert wilson(50, 100, 0.99).low < wilson(50, 100).low < 0.5 < wilson(50, 100).high
    assert wilson(50, 100).holds(0.5)
    assert not wilson(50, 100).holds(0.7)
