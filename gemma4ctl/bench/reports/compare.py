"""Two results side by side: how many times as fast, and whether noise explains it."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Final, Literal

from gemma4ctl.bench.document import BenchResult, Scenario
from gemma4ctl.bench.reports.figures import FIGURES, Figure
from gemma4ctl.bench.reports.noise import ratio
from gemma4ctl.errors import UsageError
from gemma4ctl.model import Model

KIND: Final = "gemma4ctl-bench-comparison"
GATED = ("output_throughput", "tpot_ms.mean", "ttft_ms.median")  # what --fail-below looks at

Verdict = Literal["better", "worse", "within noise", "noise unknown"]


class Row(Model):
    """A figure of a scenario in both results: means of the whole runs.

    ``gain`` is how many times as good the new one is, for rates and for times: above 1 is better.
    ``low`` and ``high`` are its 95% interval; None with one run on each side.
    """

    scenario: str
    figure: str
    unit: str
    old: float
    new: float
    old_runs: int
    new_runs: int
    gain: float
    low: float | None
    high: float | None
    verdict: Verdict


class Difference(Model):
    """Something that is not the same. ``matters``: the results cannot be compared because of it."""

    what: str
    old: str
    new: str
    matters: bool


class Comparison(Model):
    """Two results. ``skipped`` says which scenarios are not compared, and why."""

    kind: Literal["gemma4ctl-bench-comparison"] = KIND
    schema_version: Literal[1] = 1
    old_date: str
    new_date: str
    differences: tuple[Difference, ...]
    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether the same thing was measured in the same way, so that ratios mean something."""
        return not any(difference.matters for difference in self.differences)

    def below(self, gain: float) -> tuple[Row, ...]:
        """The gated figures whose gain is below ``gain`` by more than noise.

        With one run on each side the noise is not known, and every figure below counts.

        Raises:
            UsageError: the results cannot be compared.
        """
        matter = [each for each in self.differences if each.matters]
        if matter:
            raise UsageError(
                "these results cannot be held against each other",
                needed="the same " + ", ".join(each.what for each in matter),
                found="; ".join(f"{each.what} {each.old} and {each.new}" for each in matter),
                code="bench-not-comparable",
            )
        return tuple(
            row
            for row in self.rows
            if row.figure in GATED and row.gain < gain and (row.high is None or row.high < gain)
        )


def compare(old: BenchResult, new: BenchResult) -> Comparison:
    """``new`` beside ``old``.

    Raises:
        UsageError: they have no scenario in common.
    """
    pairs = [(each, new.scenario(each.workload.name)) for each in old.scenarios]
    both = [(one, other) for one, other in pairs if other is not None]
    fitting = [(one, other) for one, other in both if _why_not(one, other) is None]
    if not fitting:
        raise UsageError(
            "the results have no scenario in common",
            needed="the same scenario in both, with the same lengths, and a whole run of it",
            found="; ".join(_skipped(old, new)) or "no scenarios",
            code="bench-nothing-in-common",
        )
    return Comparison(
        old_date=old.date,
        new_date=new.date,
        differences=tuple(_differences(old, new, fitting)),
        rows=tuple(row for one, other in fitting for row in _rows(one, other)),
        skipped=tuple(_skipped(old, new)),
    )


def _why_not(old: Scenario, new: Scenario) -> str | None:
    """Why two scenarios of one name are not the same; None: they are."""
    if old.workload != new.workload:
        return "another load"
    if not old.whole or not new.whole:
        return "no whole run"
    return None


def _skipped(old: BenchResult, new: BenchResult) -> Iterator[str]:
    for one in old.scenarios:
        other = new.scenario(one.workload.name)
        why = "only in the old result" if other is None else _why_not(one, other)
        if why:
            yield f"{one.workload.name}: {why}"
    known = {each.workload.name for each in old.scenarios}
    for each in new.scenarios:
        if each.workload.name not in known:
            yield f"{each.workload.name}: only in the new result"


def _rows(old: Scenario, new: Scenario) -> Iterator[Row]:
    for figure in FIGURES:
        before, after = values(old, figure), values(new, figure)
        if before and after:
            yield _row(old.workload.name, figure, before, after)


def values(scenario: Scenario, figure: Figure) -> list[float]:
    """``figure`` of each whole run; empty where one lacks it, or it is no positive number."""
    found = [run.summary.figures().get(figure.name) for run in scenario.whole]
    known = [value for value in found if value is not None and 0 < value < inf]
    return known if len(known) == len(found) else []


def _row(scenario: str, figure: Figure, before: list[float], after: list[float]) -> Row:
    found = ratio(before, after) if figure.more_is_better else ratio(after, before)
    return Row(
        scenario=scenario,
        figure=figure.name,
        unit=figure.unit,
        old=sum(before) / len(before),
        new=sum(after) / len(after),
        old_runs=len(before),
        new_runs=len(after),
        gain=found.value,
        low=found.low,
        high=found.high,
        verdict=_verdict(found.value, found.is_noise),
    )


def _verdict(gain: float, is_noise: bool | None) -> Verdict:
    if is_noise is None:
        return "noise unknown"
    if is_noise:
        return "within noise"
    return "better" if gain > 1 else "worse"


def _differences(
    old: BenchResult, new: BenchResult, pairs: list[tuple[Scenario, Scenario]]
) -> Iterator[Difference]:
    """What was not the same: first what forbids a comparison, then what may explain it."""
    for what, one, other in (
        ("variant", old.served.variant, new.served.variant),
        ("GPU", _platform(old), _platform(new)),
        ("tensor parallel size", old.served.tp, new.served.tp),
    ):
        if one != other:
            yield _difference(what, one, other, matters=True)
    for one_scenario, other_scenario in pairs:
        name = one_scenario.workload.name
        if one_scenario.client != other_scenario.client:
            yield _difference(
                f"client of {name}", one_scenario.client, other_scenario.client, matters=True
            )
        if one_scenario.api != other_scenario.api:
            yield _difference(f"API of {name}", one_scenario.api, other_scenario.api, matters=True)
    yield from _changes(old, new)


def _changes(old: BenchResult, new: BenchResult) -> Iterator[Difference]:
    """What may be meant to differ."""
    for what, one, other in (
        ("model", old.served.model_path, new.served.model_path),
        ("SGLang", old.served.release, new.served.release),
        ("MTP", old.served.mtp, new.served.mtp),
        ("driver", _driver(old), _driver(new)),
    ):
        if one != other:
            yield _difference(what, one, other, matters=False)
    before, after = old.served.server_args, new.served.server_args
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name] and name not in _SAID_ELSEWHERE:
            yield _difference(name, before[name], after[name], matters=False)


# arguments that differ with what is compared above, and those that differ with every start
_SAID_ELSEWHERE = frozenset(
    {"model_path", "served_model_name", "tokenizer_path", "tp_size", "random_seed", "port", "host"}
    | {"nccl_port", "api_key", "log_level", "dist_init_addr"}
)


def _platform(result: BenchResult) -> str | None:
    return result.hardware.platform if result.hardware else None


def _driver(result: BenchResult) -> str | None:
    return result.hardware.driver_version if result.hardware else None


def _difference(what: str, old: object, new: object, *, matters: bool) -> Difference:
    shown = ["unknown" if each is None else str(each) for each in (old, new)]
    return Difference(what=what, old=shown[0], new=shown[1], matters=matters)
