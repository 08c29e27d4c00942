"""``fit(requests, inventory, profiles) -> FitDocument``: pure, as planning is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gemma4ctl import __version__
from gemma4ctl.capacity.stages import MIB
from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.fitting.document import FitDocument, FitHardware, VariantFit
from gemma4ctl.fitting.judge import Judged, judge
from gemma4ctl.fitting.levers import levers, load_of, plan_for_load
from gemma4ctl.fitting.outcome import Outcome, Planner
from gemma4ctl.fitting.rows import at_concurrency, at_length, published
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.nearest import NONE_GIVEN, Given
from gemma4ctl.planning.plan import MemoryStages
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import free_mib, situate
from gemma4ctl.planning.staged import staged
from gemma4ctl.profiles.table import Profiles

LENGTHS = (1_024, 8_192, 32_768, None)
CONCURRENCIES = (1, 16, 64, 256)


class Points(NamedTuple):
    """Where capacity is asked for; a length of None is the context asked for, or the model's."""

    lengths: Sequence[int | None] = LENGTHS
    concurrencies: Sequence[int] = CONCURRENCIES


def fit(
    requests: Iterable[Request],
    inventory: Inventory,
    profiles: Profiles,
    points: Points = Points(),  # noqa: B008 - immutable
    given: Given = NONE_GIVEN,
) -> FitDocument:
    """What runs of ``requests``, one for each variant.

    Args:
        requests: what is wanted of each variant.
        inventory: the host.
        profiles: the fact table.
        points: where capacity is asked for.
        given: options that name the host or the table, for the commands shown.

    Raises:
        UsageError: every request makes no sense.
    """
    planner = Planner(inventory, profiles, given)
    found: list[VariantFit] = []
    error: UsageError | None = None
    hardware, failures = None, 0
    for request in requests:
        try:
            hardware = hardware or _hardware(planner, request)
            found.append(_variant(planner, request, points))
        except UsageError as caught:
            error, failures = caught, failures + 1
            found.append(_unusable(request, caught))
    if error is not None and len(found) == failures:
        raise error
    return FitDocument(
        gemma4ctl_version=__version__,
        profiles_hash=profiles.hash,
        hardware=hardware,
        fits=any(one.as_asked for one in found),
        variants=tuple(found),
    )


def _unusable(request: Request, error: UsageError) -> VariantFit:
    """A variant that has not what was asked for, such as a checkpoint."""
    return VariantFit(
        variant=request.model,
        checkpoint=request.checkpoint,
        group="cannot",
        as_asked=False,
        reason=error.message,
        needed=error.needed,
        found=error.found,
        remedies=error.remedies,
    )


def _hardware(planner: Planner, request: Request) -> FitHardware | None:
    try:
        s = situate(request, planner.inventory, planner.profiles)
    except NoPlanError:
        return None
    frees = [free_mib(unit) for unit in s.group]
    return FitHardware(
        platform=s.platform_name,
        kind=s.group[0].kind,
        vendor=s.platform.vendor,
        gpu_count=len(s.group),
        memory_mib=s.unit_mib,
        free_mib=min((free for free in frees if free is not None), default=None),
        source=s.inventory.source,
    )


def _variant(planner: Planner, request: Request, points: Points) -> VariantFit:
    judged = judge(planner, request)
    outcome = judged.outcome
    if outcome is None:
        return _judged(request, judged)
    s = outcome.situation
    usual = published(planner, outcome)
    return _judged(outcome.request, judged).model_copy(
        update={
            "command": planner.command(outcome.request),
            "release": s.release.name,
            "gpus": s.tp * s.groups,
            "tp": s.tp,
            "min_tp": s.value("min_tensor_parallel_size"),
            "recommended_tp": s.value("recommended_tensor_parallel_size"),
            **_figures(planner, outcome, usual, points),
        }
    )


def _judged(request: Request, judged: Judged) -> VariantFit:
    return VariantFit(
        variant=request.model,
        checkpoint=request.checkpoint,
        group=judged.group,
        as_asked=judged.refusal is None,
        reason=judged.reason,
        needed=judged.needed,
        found=judged.found,
        remedies=judged.remedies,
    )


def _figures(
    planner: Planner, outcome: Outcome, usual: Outcome | None, points: Points
) -> dict[str, object]:
    """The fields with what memory holds; none where it is not modelled."""
    s, m = outcome.situation, outcome.memory
    if m is None:
        return {}
    stages = staged(s, s.tp, m)
    sizes = {**stages._asdict(), "free": stages.free}
    lengths = sorted({min(n or s.context, s.context) for n in points.lengths})
    rows = [at_length(planner, outcome, usual, tokens) for tokens in lengths]
    counts = [at_concurrency(planner, outcome, usual, n) for n in points.concurrencies]
    best = plan_for_load(planner, outcome)
    load = load_of(outcome, best) if best else None
    return {
        "usage": MemoryStages(**{name: size // MIB for name, size in sizes.items()}),
        "planned": outcome.split(),
        "published": usual.split() if usual else None,
        "max_context_tokens": min(m.longest_alone, s.context, s.variant.max_context),
        "longest": at_concurrency(planner, outcome, usual, 1),
        "lengths": tuple(rows),
        "concurrencies": tuple(counts),
        "load": load.text() if load else None,
        "levers": tuple(levers(planner, usual, best, load)) if best and load else (),
    }
