"""Whether the best point of a search is better than the plan, beyond what the figures vary."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from gemma4ctl.model import Model
from gemma4ctl.tuning.metrics import Metric

LEAST_NOISE = 0.01  # figures of two starts of the same server differ by that at least
UNREPEATED_GAIN = 0.05  # what a gain must be when nothing was measured again
UNREPEATED_NOISE = 2.0


class Verdict(Model):
    """How the best point compares with the plan.

    ``gain`` and ``noise`` are shares of the plan's figure; ``repeated``: both were started again
    for it, so that being lucky once does not win. ``reason`` says what decided.
    """

    better: bool
    gain: float
    noise: float
    repeated: bool
    plan_figure: float
    best_figure: float
    reason: str


def figure(starts: Sequence[Sequence[float]]) -> float:
    """The figure of a point: the median over its starts of the median of each."""
    return median(median(start) for start in starts)


def noise_of(*points: Sequence[Sequence[float]]) -> float:
    """How much figures of the same point vary: half the range by the median, the largest.

    Args:
        points: of each point, the figures of each of its starts.
    """
    shares = [LEAST_NOISE]
    for starts in points:
        values = [value for start in starts for value in start]
        shares.append((max(values) - min(values)) / 2 / median(values))
    return max(shares)


def judge(
    metric: Metric, plan: Sequence[Sequence[float]], best: Sequence[Sequence[float]]
) -> Verdict:
    """Compare the starts of ``best`` with those of ``plan``.

    The first start of ``best`` is the one it was chosen for; where there are others, only they
    count for the gain, since the best of several trials was also lucky.
    """
    repeated = len(best) > 1 and len(plan) > 1
    again = best[1:] if repeated else best
    noise = noise_of(plan, again)
    ours, theirs = figure(again), figure(plan)
    gain = metric.gain(ours, theirs)
    if repeated:
        worst = metric.worst([value for start in again for value in start])
        rival = metric.best([value for start in plan for value in start])
        better = gain > noise and metric.gain(worst, rival) > 0
        reason = f"measured again on {len(again)} and {len(plan)} starts"
    else:
        needed = max(UNREPEATED_GAIN, UNREPEATED_NOISE * noise)
        better = gain > needed
        reason = f"not measured again: only more than {needed:.0%} counts"
    return Verdict(
        better=better,
        gain=gain,
        noise=noise,
        repeated=repeated,
        plan_figure=theirs,
        best_figure=ours,
        reason=reason,
    )
