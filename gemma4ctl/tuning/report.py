"""What a search tells: its progress on stderr, its result as text and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TextIO

from gemma4ctl import __version__
from gemma4ctl.bench.workload import Workload
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.command import argv, environment
from gemma4ctl.tuning.cell import load_text
from gemma4ctl.tuning.document import (
    CommandDocument,
    DimensionDocument,
    MetricDocument,
    TuneDocument,
)
from gemma4ctl.tuning.metrics import Metric
from gemma4ctl.tuning.search import Found
from gemma4ctl.tuning.space import TITLES, Dimension, describe, settings
from gemma4ctl.tuning.study import Trial


class Progress:
    """A line when a trial begins and one when it is over."""

    def __init__(self, metric: Metric, stream: TextIO | None = None) -> None:
        self._metric, self._stream = metric, stream or sys.stderr

    def says(self, message: str) -> None:
        """Print ``message``."""
        print(f"gemma4ctl: {message}", file=self._stream, flush=True)

    def begins(self, number: int, point: dict[str, str], *, seconds_left: float) -> None:
        """Print what is tried, and the time that is left."""
        self.says(f"trial {number}: {describe(point)} ({seconds_left / 60:.1f} min left)")

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """Print what came of it, and the best so far."""
        if trial.state == "infeasible":
            self.says(f"trial {trial.number}: {describe(trial.point)}: left out: {trial.reason}")
        elif trial.state == "failed":
            self.says(f"  failed after {trial.seconds:.0f} s: {trial.reason} [{trial.code}]")
        else:
            self.says(f"  {self._figure(trial)}, in {trial.seconds:.0f} s; {self._best(best)}")

    def _figure(self, trial: Trial) -> str:
        return self._metric.show(median(trial.figures))

    def _best(self, best: Trial | None) -> str:
        return f"best {self._figure(best)} (trial {best.number})" if best else "no best yet"


def document(
    *,
    baseline: Plan,
    winner: Plan,
    dimensions: Sequence[Dimension],
    load: Workload,
    metric: Metric,
    found: Found,
    folder: Path,
    seconds: float,
    table: Path | None,
) -> TuneDocument:
    """The result of a search as data.

    Args:
        baseline: the planner's own plan.
        winner: the plan to use: ``baseline``, or the one that beat it.
        dimensions: what was searched.
        load: what was served.
        metric: what was compared.
        found: the end of the search.
        folder: where trials and logs are kept.
        seconds: how long this invocation took.
        table: where the winner was written; None: nowhere.
    """
    verdict = found.verdict
    return TuneDocument(
        gemma4ctl_version=__version__,
        variant=baseline.variant.name,
        platform=baseline.hardware.platform,
        gpu_count=baseline.hardware.gpu_count,
        sglang_version=baseline.release,
        load=load,
        metric=MetricDocument(name=metric.name, unit=metric.unit, higher_is_better=metric.higher),
        space={
            dimension.name: DimensionDocument(
                title=TITLES[dimension.name], arguments=dimension.dests, values=dimension.choices
            )
            for dimension in dimensions
        },
        improved=bool(verdict and verdict.better),
        verdict=verdict,
        settings=settings(found.best, dimensions) if verdict and verdict.better else {},
        command=CommandDocument(argv=tuple(argv(winner)), env=dict(environment(winner))),
        ended=found.ended,
        seconds=round(seconds, 1),
        folder=str(folder),
        trials=tuple(found.trials),
        profile=str(table) if table else None,
    )


def text(
    *, load: Workload, metric: Metric, found: Found, folder: Path, profile: Path | None
) -> str:
    """The result for the reader: what is best, by how much, and where the rest is."""
    verdict = found.verdict
    tried = sum(trial.state in ("measured", "failed") for trial in found.trials)
    failed = sum(trial.state == "failed" for trial in found.trials)
    lines = [f"{metric.title} at {load_text(load)}: {tried} trials, {failed} failed; {found.ended}"]
    if verdict is None or not verdict.better:
        lines.append("nothing in the space searched beats the plan; it stays as it is")
    if verdict is not None:
        lines.append(
            f"  plan   {metric.show(verdict.plan_figure)}\n"
            f"  best   {metric.show(verdict.best_figure)}  {describe(found.best)}\n"
            f"  gain   {verdict.gain:+.1%}, noise {verdict.noise:.1%} ({verdict.reason})"
        )
    if profile is not None:
        lines.append(f"written to {profile}: `gemma4ctl suggest` uses it from now on")
    return "\n".join([*lines, f"trials and logs: {folder}"])
