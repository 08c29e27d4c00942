"""What to try next, within the time: single changes first, kept where they help, then a sampler.

Starts cost a minute or two, so a search has few trials. It walks through single changes of the
best point so far, the most promising first; when they are used up, optuna's TPE sampler proposes
points. At the end the best point and the plan are measured again in turn, where time allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from gemma4ctl.errors import PreflightError, ServerFailedError
from gemma4ctl.planning.plan import Plan
from gemma4ctl.tuning.judge import InfeasibleError
from gemma4ctl.tuning.metrics import Metric
from gemma4ctl.tuning.space import TITLES, Dimension, moves, plan_point
from gemma4ctl.tuning.study import Asked, Study, Trial
from gemma4ctl.tuning.trial import OUT_OF_TIME, REFUSED, Outcome
from gemma4ctl.tuning.verdict import Verdict, judge, noise_of

SAFETY = 1.15  # of the longest trial so far: what the next one may take
FEWEST_TRIALS = 5  # that a search should have time for
REPEATS = 2  # starts of the best point and of the plan at the end
TRIED = "tried before"
CUT_SHORT = 2  # times, after which a point is not tried again: it may be what ends the search
USELESS_PROPOSALS = 32  # in a row, after which nothing new is expected
LEARNED_PROPOSALS = 6  # of these, before chance proposes: what was learned points to known points


class Runs(Protocol):
    """Runs one trial; see :class:`gemma4ctl.tuning.trial.Bench`."""

    def run(self, planned: Plan, number: int, seconds: float) -> Outcome:
        """Start, measure and end a server within ``seconds``."""
        ...


class Reporter(Protocol):
    """Is told of every trial."""

    def begins(self, number: int, point: dict[str, str], *, seconds_left: float) -> None:
        """A trial starts."""
        ...

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """A trial is over; ``best`` is the best measured one."""
        ...

    def says(self, message: str) -> None:
        """Something else worth knowing."""
        ...


@dataclass(frozen=True)
class Found:
    """The end of a search. ``verdict`` is None where no other point was measured."""

    trials: list[Trial]
    best: dict[str, str]
    verdict: Verdict | None
    ended: str


@dataclass
class Search:
    """A search over ``dimensions``.

    Args:
        study: keeps the trials, those of an earlier process too.
        dimensions: the settings.
        plan_of: the plan of a point; raises :class:`InfeasibleError`.
        runs: runs a trial.
        metric: what is to become better.
        reporter: is told of everything.
        seconds: the time that the search may take.
    """

    study: Study
    dimensions: Sequence[Dimension]
    plan_of: Callable[[dict[str, str]], Plan]
    runs: Runs
    metric: Metric
    reporter: Reporter
    seconds: float
    clock: Callable[[], float] = time.monotonic
    _trials: list[Trial] = field(default_factory=list)
    _deadline: float = 0.0
    _useless: int = 0  # proposals in a row that needed no server

    def run(self) -> Found:
        """Search until the time or the space is used up.

        Raises:
            ServerFailedError: the plan itself cannot be measured.
            PreflightError: the host is not ready for it.
        """
        self._deadline = self.clock() + self.seconds
        self._trials = self.study.trials
        if not self._starts(self._plan_point):
            self._first()
        ended = self._explore()
        self._confirm()
        best = self._best_point()
        verdict = None
        if best != self._plan_point:
            verdict = judge(self.metric, self._starts(self._plan_point), self._starts(best))
        return Found([t for t in self._trials if t.reason != TRIED], best, verdict, ended)

    @property
    def _plan_point(self) -> dict[str, str]:
        return plan_point(self.dimensions)

    @property
    def _left(self) -> float:
        return self._deadline - self.clock()

    def _first(self) -> None:
        """Measure the plan, without which nothing can be compared."""
        trial = self._try(self._plan_point)
        if trial.state != "measured":
            kind = PreflightError if trial.code == REFUSED else ServerFailedError
            raise kind(
                f"the plan itself could not be measured: {trial.reason}",
                needed="a plan that starts and answers every request of the load in time",
                found=f"{trial.code}; the server's log is {self.study.folder / str(trial.log)}",
                remedies=[trial.remedy] if trial.remedy else (),
                code=trial.code,
            )
        if self._needed(1) > self.seconds / FEWEST_TRIALS:
            self.reporter.says(
                f"a trial takes {trial.seconds:.0f} s: a larger --budget or fewer --requests "
                "would allow more of them"
            )

    def _explore(self) -> str:
        """Try points until the time is up or nothing is left to try; which of the two."""
        for point in self._points():
            if self._left < self._needed(1 + self._repeats_owed):
                return "the time left is too short for another trial"
            self._consider(point)
        return "nothing is left to try"

    def _points(self) -> Iterator[dict[str, str] | None]:
        """Points worth trying; None: whatever the sampler proposes."""
        for name, choice in moves(self.dimensions):
            point = {**self._best_point(), name: choice}
            if not self._is_known(point):
                yield point
        self._useless = 0
        while self._useless < USELESS_PROPOSALS and len(self.dimensions) > 1:
            before = len(self._real)
            yield None
            self._useless = 0 if len(self._real) > before else self._useless + 1

    def _is_known(self, point: dict[str, str]) -> bool:
        """Whether ``point`` was tried to its end, or cut short twice."""
        trials = [trial for trial in self._trials if trial.point == point]
        short = [t for t in trials if t.state == "interrupted" or t.code == OUT_OF_TIME.code]
        return len(trials) > len(short) or len(short) >= CUT_SHORT

    @property
    def _real(self) -> list[Trial]:
        """The trials that started a server."""
        return [trial for trial in self._trials if trial.state in ("measured", "failed")]

    def _consider(self, point: dict[str, str] | None) -> None:
        """Try ``point``, or what the sampler proposes, unless it cannot or need not be tried."""
        asked = self.study.begin(point, learned=self._useless < LEARNED_PROPOSALS)
        if self._is_known(asked.point):
            self._pass_over(asked, TRIED)
            return
        try:
            self._refuse_culprits(asked.point)
            planned = self.plan_of(asked.point)
        except InfeasibleError as error:
            trial = self._pass_over(asked, str(error))
            if point is not None:  # the sampler proposes many that cannot be tried
                self.reporter.ended(trial, self._best_trial())
        else:
            self._measure(asked, planned)

    def _refuse_culprits(self, point: dict[str, str]) -> None:
        """Refuse a point with a value that alone made a measured point fail.

        Raises:
            InfeasibleError: it has one.
        """
        for failed in self._trials:
            if failed.state != "failed" or failed.code == OUT_OF_TIME.code:
                continue
            culprit = self._culprit(failed.point)
            if culprit is not None and point[culprit] == failed.point[culprit]:
                setting = f"{TITLES[culprit]} {point[culprit]}"
                raise InfeasibleError(f"{setting} failed in trial {failed.number}")

    def _culprit(self, point: dict[str, str]) -> str | None:
        """The dimension in which alone ``point`` differs from one that was measured."""
        for measured in self._trials:
            if measured.state == "measured":
                differing = [name for name in point if point[name] != measured.point[name]]
                if len(differing) == 1:
                    return differing[0]
        return None

    def _pass_over(self, asked: Asked, reason: str) -> Trial:
        """Record a trial that needs no server."""
        trial = Trial(number=asked.number, point=asked.point, state="infeasible", reason=reason)
        self.study.end(asked, trial, None)
        self._trials.append(trial)
        return trial

    def _try(self, point: dict[str, str]) -> Trial:
        """Measure ``point``, which is feasible."""
        planned = self.plan_of(point)
        return self._measure(self.study.begin(point), planned)

    def _measure(self, asked: Asked, planned: Plan) -> Trial:
        """Run a trial and record it."""
        number, point = asked.number, asked.point
        self.reporter.begins(number, point, seconds_left=self._left)
        outcome = self.runs.run(planned, number, self._left)
        failure = outcome.failure
        trial = Trial(
            number=number,
            point=point,
            state="failed" if failure else "measured",
            figures=tuple(outcome.figures),
            repeat=bool(self._starts(point)),
            start_s=outcome.start_s,
            seconds=outcome.seconds,
            code=failure.code if failure else None,
            reason=failure.reason if failure else None,
            remedy=failure.remedy if failure else None,
            measurements=tuple(outcome.measurements),
            reported=outcome.reported,
            log=f"trial-{number:03}.log",
        )
        self.study.end(asked, trial, None if failure else median(outcome.figures))
        self._trials.append(trial)
        self.reporter.ended(trial, self._best_trial())
        return trial

    def _needed(self, trials: int) -> float:
        """Seconds that so many more trials may take."""
        taken = [trial.seconds for trial in self._trials if trial.state == "measured"]
        return trials * SAFETY * max(taken, default=0.0)

    @property
    def _repeats_owed(self) -> int:
        """Trials to keep time for: the best point and the plan once more.

        Where that would take more than half of the whole time, the search goes on instead.
        """
        nothing_better = self._best_point() == self._plan_point
        return 0 if nothing_better or self._needed(2) > self.seconds / 2 else 2

    def _confirm(self) -> None:
        """Measure the best point and the plan again in turn, where there is a better one."""
        best = self._best_point()
        if best == self._plan_point:
            return
        for _ in range(REPEATS):
            for point in (best, self._plan_point):
                if self._left < self._needed(1):
                    return
                self._try(point)

    def _starts(self, point: dict[str, str]) -> list[tuple[float, ...]]:
        """The figures of every start of ``point`` that was measured, in order."""
        return [
            trial.figures
            for trial in self._trials
            if trial.point == point and trial.state == "measured"
        ]

    def _best_trial(self) -> Trial | None:
        """The trial that beat those before it by more than they vary; repeats do not count.

        A change within the noise is not taken over: the winner changes only what matters.
        """
        best: Trial | None = None
        for trial in self._trials:
            if trial.state != "measured" or trial.repeat:
                continue
            if best is None or self._beats(trial, best):
                best = trial
        return best

    def _beats(self, trial: Trial, best: Trial) -> bool:
        gain = self.metric.gain(median(trial.figures), median(best.figures))
        return gain > noise_of([trial.figures], [best.figures])

    def _best_point(self) -> dict[str, str]:
        best = self._best_trial()
        return self._plan_point if best is None else best.point
