"""How far a share of right answers can be trusted.

Wilson's score interval [Wilson 1927, JASA 22:209], and Newcombe's interval for the difference of
two shares that is made from two of them [Newcombe 1998, Statistics in Medicine 17:873, method 10].
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """Bounds, both within."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` is within."""
        return self.low <= value <= self.high


def wilson(right: float, asked: int, confidence: float = CONFIDENCE) -> Interval:
    """Where the true share lies when ``right`` of ``asked`` (at least one) answers were right."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / asked
    shrunk = 1 / (1 + z * z / asked)
    centre = (share + z * z / (2 * asked)) * shrunk
    half = z * shrunk * sqrt(share * (1 - share) / asked + (z / (2 * asked)) ** 2)
    low = 0.0 if right == 0 else max(0.0, centre - half)  # exactly, whatever is rounded
    return Interval(low, 1.0 if right == asked else min(1.0, centre + half))


def difference(first: float, first_asked: int, second: float, second_asked: int) -> Interval:
    """Where ``first`` minus ``second`` lies, two shares of so many questions, with 95%."""
    mine = wilson(first * first_asked, first_asked)
    theirs = wilson(second * second_asked, second_asked)
    gap = first - second
    below = sqrt((first - mine.low) ** 2 + (theirs.high - second) ** 2)
    above = sqrt((mine.high - first) ** 2 + (second - theirs.low) ** 2)
    return Interval(gap - below, gap + above)
