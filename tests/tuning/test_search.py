"""What a search tries, keeps and concludes, with servers that only pretend."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.errors import PreflightError, ServerFailedError
from gemma4ctl.planning.plan import Plan
from gemma4ctl.tuning.judge import InfeasibleError
from gemma4ctl.tuning.metrics import METRICS
from gemma4ctl.tuning.search import Found, Search
from gemma4ctl.tuning.space import PLAN, Dimension
from gemma4ctl.tuning.study import Study, Trial
from gemma4ctl.tuning.trial import OUT_OF_TIME, Failure, Outcome

Point = dict[str, str]

DIMENSIONS = (
    Dimension("splits", ("x",), (PLAN, "32", "16")),
    Dimension("chunk", ("y",), (PLAN, "big", "small")),
)
TRIAL_S = 60.0


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk takes longer than everything else here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class World:
    """Points have figures, or fail; time passes only while trials run."""

    def __init__(self, figures: dict[tuple[str, str], float | Failure], noise: float = 0.0) -> None:
        self.now = 0.0
        self.runs_of: list[Point] = []
        self.told: list[str] = []
        self._figures, self._noise = figures, itertools.cycle((1 + noise, 1 - noise))

    def plan_of(self, point: Point) -> Plan:
        if point["chunk"] == "refused":
            raise InfeasibleError("a rule says no")
        return point  # type: ignore[return-value] # the search hands it on

    def run(self, planned: Any, number: int, seconds: float) -> Outcome:
        self.runs_of.append(planned)
        taken = min(TRIAL_S, seconds)
        self.now += taken
        result = self._figures.get((planned.get("splits", PLAN), planned["chunk"]), 100.0)
        if taken < TRIAL_S:
            result = OUT_OF_TIME
        if isinstance(result, Failure):
            return Outcome(failure=result, seconds=taken)
        return Outcome(figures=[result * next(self._noise)], start_s=50.0, seconds=taken)

    def begins(self, number: int, point: Point, *, seconds_left: float) -> None:
        self.told.append(f"begins {number}")

    def ended(self, trial: Trial, best: Trial | None) -> None:
        self.told.append(f"ended {trial.number} {trial.state}")

    def says(self, message: str) -> None:
        self.told.append(message)


def search(
    world: World, folder: Path, minutes: float, dimensions: tuple[Dimension, ...] = DIMENSIONS
) -> Found:
    folder.mkdir(exist_ok=True)
    return Search(
        study=Study(folder, dimensions, higher=True),
        dimensions=dimensions,
        plan_of=world.plan_of,
        runs=world,
        metric=METRICS["output-throughput"],
        reporter=world,
        seconds=minutes * 60,
        clock=lambda: world.now,
    ).run()


def test_the_plan_comes_first_and_changes_are_kept_where_they_help(tmp_path: Path) -> None:
    world = World({("32", PLAN): 120.0, ("32", "big"): 130.0})
    found = search(world, tmp_path, 60)
    assert world.runs_of[:3] == [
        {"splits": PLAN, "chunk": PLAN},
        {"splits": "32", "chunk": PLAN},
        {"splits": "32", "chunk": "big"},
    ]
    assert found.best == {"splits": "32", "chunk": "big"}
    assert found.verdict is not None and found.verdict.better and found.verdict.repeated
    assert found.verdict.gain == pytest.approx(0.3)
    assert found.ended == "nothing is left to try"
    assert len({tuple(p.values()) for p in world.runs_of}) >= 7  # of 9: the samplers find the rest


def test_at_the_end_best_and_plan_are_measured_in_turn(tmp_path: Path) -> None:
    world = World({("32", PLAN): 120.0})
    search(world, tmp_path, 60)
    last = [point["splits"] for point in world.runs_of[-4:]]
    assert last == ["32", PLAN, "32", PLAN]


def test_nothing_better_leaves_the_plan(tmp_path: Path) -> None:
    found = search(World({}), tmp_path, 60)
    assert found.best == {"splits": PLAN, "chunk": PLAN} and found.verdict is None


def test_a_gain_within_the_noise_changes_nothing(tmp_path: Path) -> None:
    found = search(World({("32", PLAN): 100.5}), tmp_path, 60)
    assert found.best == {"splits": PLAN, "chunk": PLAN}


def test_a_lucky_trial_does_not_win(tmp_path: Path) -> None:
    world = World({}, noise=0.02)  # the first start is always 4% above the second
    found = search(world, tmp_path, 60)
    assert found.verdict is None or not found.verdict.better


@pytest.mark.parametrize("minutes", [1.5, 3.4, 5.0, 7.7, 11.0, 20.0])
def test_the_time_is_kept(tmp_path: Path, minutes: float) -> None:
    world = World({("32", PLAN): 120.0})
    search(world, tmp_path, minutes)
    assert world.now <= minutes * 60


def test_a_budget_for_few_trials_is_remarked_on(tmp_path: Path) -> None:
    short, long = World({}), World({})
    search(short, tmp_path / "short", 4)
    search(long, tmp_path / "long", 30)
    assert "a trial takes 60 s" in " ".join(short.told)
    assert "a trial takes" not in " ".join(long.told)


def test_time_is_kept_back_for_repeats(tmp_path: Path) -> None:
    world = World({("32", PLAN): 120.0})
    found = search(world, tmp_path, 7)
    assert found.verdict is not None and found.verdict.repeated
    assert found.ended == "the time left is too short for another trial"


def test_a_short_search_judges_without_repeats(tmp_path: Path) -> None:
    found = search(World({("32", PLAN): 120.0}), tmp_path, 2.3)
    assert found.verdict is not None and found.verdict.better and not found.verdict.repeated


def test_failures_are_recorded_and_their_cause_is_not_tried_again(tmp_path: Path) -> None:
    broken = Failure("out-of-memory-serving", "no memory", "less of it")
    points = itertools.product((PLAN, "32", "16"), ("big",))
    world = World({("32", PLAN): 120.0, **dict.fromkeys(points, broken)})
    found = search(world, tmp_path, 60)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert [(t.code, t.reason, t.remedy) for t in failed] == [tuple(broken)]
    assert any("failed in trial" in str(t.reason) for t in found.trials)


def test_what_the_rules_refuse_is_not_started(tmp_path: Path) -> None:
    dimensions = (DIMENSIONS[0], Dimension("chunk", ("y",), (PLAN, "refused")))
    world = World({})
    found = search(world, tmp_path, 60, dimensions)
    assert all(point["chunk"] == PLAN for point in world.runs_of)
    assert "a rule says no" in [t.reason for t in found.trials if t.state == "infeasible"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("serve-exit-5", PreflightError), ("out-of-memory-weights", ServerFailedError)],
)
def test_without_the_plan_there_is_nothing_to_compare(
    tmp_path: Path, code: str, kind: type[Exception]
) -> None:
    world = World({(PLAN, PLAN): Failure(code, "it broke", "mend it")})
    with pytest.raises(kind, match="the plan itself could not be measured: it broke") as caught:
        search(world, tmp_path, 60)
    assert str(tmp_path / "trial-000.log") in str(caught.value)
    assert len(world.runs_of) == 1


def test_a_resumed_search_goes_on(tmp_path: Path) -> None:
    figures: dict[tuple[str, str], float | Failure] = {("32", PLAN): 120.0}
    search(World(figures), tmp_path, 3.5)
    world = World(figures)
    found = search(world, tmp_path, 60)
    assert {"splits": PLAN, "chunk": PLAN} not in world.runs_of[:2]  # it is known already
    assert found.best == {"splits": "32", "chunk": PLAN}
    assert found.trials[0].point == {"splits": PLAN, "chunk": PLAN}


@pytest.mark.parametrize(("kills", "again"), [(1, True), (2, False)])
def test_a_point_that_was_cut_short_is_tried_again_but_not_forever(
    tmp_path: Path, kills: int, again: bool
) -> None:
    cut = {"splits": "32", "chunk": PLAN}
    for _ in range(kills):
        Study(tmp_path, DIMENSIONS, higher=True).begin(cut)
    world = World({("32", PLAN): 120.0})
    search(world, tmp_path, 60)
    assert (cut in world.runs_of) == again


def test_one_dimension_needs_no_sampler(tmp_path: Path) -> None:
    world = World({})
    found = search(world, tmp_path, 60, (Dimension("chunk", ("y",), (PLAN, "big")),))
    assert found.ended == "nothing is left to try" and len(world.runs_of) == 2
