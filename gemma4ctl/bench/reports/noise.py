"""Whether two sets of repeated runs differ by more than their noise.

The logarithms of a figure are compared with Student's t-test for two samples of equal variance
[Student 1908, Biometrika 6:1], which gives an interval for the ratio of their (geometric) means.
Equal variance is assumed because the same machine and client measured both; it lets one run be
compared with several.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt
from statistics import fmean
from typing import NamedTuple

# 97.5% quantiles of Student's t for 1, 2, ... degrees of freedom, and beyond
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_T_MANY = 2.042  # for more: on the safe side


class Ratio(NamedTuple):
    """New by old, with the bounds of its 95% interval; None with one run on each side."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_noise(self) -> bool | None:
        """Whether no difference (1) is within the bounds; None: not known."""
        if self.low is None or self.high is None:
            return None
        return self.low <= 1 <= self.high


def ratio(old: Sequence[float], new: Sequence[float]) -> Ratio:
    """How ``new`` compares with ``old``, positive figures of one run or more each."""
    before, after = [log(value) for value in old], [log(value) for value in new]
    difference = fmean(after) - fmean(before)
    freedom = len(before) + len(after) - 2
    if freedom == 0:
        return Ratio(exp(difference))
    squares = sum((x - fmean(before)) ** 2 for x in before)
    squares += sum((x - fmean(after)) ** 2 for x in after)
    error = sqrt(squares / freedom * (1 / len(before) + 1 / len(after)))
    reach = error * (_T[freedom - 1] if freedom <= len(_T) else _T_MANY)
    return Ratio(exp(difference), exp(difference - reach), exp(difference + reach))
