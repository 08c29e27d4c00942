"""The choice of devices for a group of ranks, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from operator import add
from typing import NamedTuple

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.hardware.inventory import Device, Inventory, Unit
from gemma4ctl.model import Model

_EXACT_LIMIT = 8  # up to here all sets are compared, beyond it a set is grown from each member
_GRAIN_MIB = 1024  # differences in used memory below this do not count
_HEALTH_ORDER = {"ok": 0, "unknown": 1, "degraded": 2}


class Selection(Model):
    """The chosen units in the order of the ranks, and the reason in one sentence.

    ``rejected`` pairs the ids of units that could not be used with the reason for each.
    """

    units: tuple[Unit, ...]
    reason: str
    rejected: tuple[tuple[str, str], ...] = ()


def choose(
    inventory: Inventory,
    count: int,
    *,
    need_free_mib: int | None = None,
    ids: Sequence[str] | None = None,
) -> Selection:
    """The best ``count`` units of one platform: healthy, then empty, then linked, then first.

    Args:
        inventory: the host; only visible units are looked at.
        count: how many, at least 1. A group of more than one never has a MIG slice.
        need_free_mib: free memory that every unit must have; a unit whose free memory is unknown
            must have that much in total.
        ids: look at these only: indices, UUIDs or unique beginnings of UUIDs. When they are
            exactly ``count``, their order is kept.

    Raises:
        UsageError: ``count`` is less than 1, or an id names no unit, two units, or one twice.
        NoPlanError: fewer than ``count`` units of one platform can be used.
    """
    if count < 1:
        raise UsageError(
            f"cannot choose {count} GPUs", needed="at least 1", found=str(count), code="gpu-count"
        )
    pool = inventory.units if ids is None else tuple(_named(inventory, ids))
    faults = {unit.id: _fault(unit, count, need_free_mib) for unit in pool}
    usable = [unit for unit in pool if faults[unit.id] is None]
    links = _link_counts(inventory)
    groups = [group for group in _groups(usable) if len(group) >= count]
    if not groups:
        raise _no_plan(inventory, count, need_free_mib, usable, faults)
    if ids is not None and len(ids) == count:
        best: Sequence[Unit] = usable
    else:
        best = min((_best_of(group, count, links) for group in groups), key=_ranking(links))
    return Selection(
        units=tuple(best),
        reason=_reason(best, pool, links, named=ids is not None),
        rejected=tuple((key, why) for key, why in faults.items() if why),
    )


def _fault(unit: Unit, count: int, need_free_mib: int | None) -> str | None:
    """Why ``unit`` cannot be used at all; None when it can."""
    if unit.health.status in ("lost", "unreadable"):
        return f"{unit.health.status}: {'; '.join(unit.health.reasons) or 'no reason given'}"
    if unit.kind == "mig" and count > 1:
        return "a MIG slice cannot join a group of several GPUs"
    if need_free_mib is None:
        return None
    if unit.memory_free_mib is not None:
        short = unit.memory_free_mib < need_free_mib
        return f"{unit.memory_free_mib} MiB free, {need_free_mib} needed" if short else None
    if unit.memory_total_mib is None or unit.memory_total_mib < need_free_mib:
        return f"{unit.memory_total_mib or 'unknown'} MiB in total, {need_free_mib} needed"
    return None


def _groups(usable: Sequence[Unit]) -> list[list[Unit]]:
    """Units that may run together: same platform (or name, where no row matches) and kind."""
    groups: dict[tuple[object, ...], list[Unit]] = {}
    for unit in usable:
        row_fixes_memory = unit.platform is not None and unit.kind == "gpu"
        memory = None if row_fixes_memory else unit.memory_total_mib
        key = (unit.vendor, unit.platform or unit.name, unit.kind, memory)
        groups.setdefault(key, []).append(unit)
    return list(groups.values())


Links = dict[tuple[int, int], int]


def _link_counts(inventory: Inventory) -> Links:
    """Pairs of device indices joined by NVLink or xGMI, in both orders -> links (1: unknown)."""
    joined = [link for link in inventory.links if link.kind in ("nvlink", "xgmi")]
    pairs = {(link.a, link.b): link.count or 1 for link in joined}
    return pairs | {(b, a): count for (a, b), count in pairs.items()}


def _ranking(links: Links) -> Callable[[Sequence[Unit]], tuple[float, ...]]:
    """A key that orders sets of units, best first."""
    return lambda group: _rank(group, *_linkage(group, links))


def _rank(group: Sequence[Unit], unlinked: int, bandwidth: int) -> tuple[float, ...]:
    """What orders sets of units, best first; ``unlinked`` and ``bandwidth``: :func:`_linkage`."""
    health = [_health(unit) for unit in group]
    used = [_used(unit) for unit in group]
    return (
        sum(unit.platform is None for unit in group),
        max(health),
        sum(health),
        max(used),
        sum(used),
        unlinked,
        -bandwidth,
        -sum(unit.memory_total_mib or 0 for unit in group),
        *(unit.index for unit in group),
    )


def _health(unit: Unit) -> int:
    return _HEALTH_ORDER.get(unit.health.status, 3)


def _used(unit: Unit) -> float:
    """Memory in use, in steps of a GiB; an unknown amount counts as the whole unit."""
    if unit.memory_total_mib is None or unit.memory_free_mib is None:
        return float("inf") if unit.memory_total_mib is None else unit.memory_total_mib
    return (unit.memory_total_mib - unit.memory_free_mib) // _GRAIN_MIB


def _linkage(group: Sequence[Unit], links: Links) -> tuple[int, int]:
    """Pairs without a direct link, and the number of links of all pairs together."""
    counts = [links.get((first.index, second.index), 0) for first, second in combinations(group, 2)]
    return counts.count(0), sum(counts)


def _best_of(group: list[Unit], count: int, links: Links) -> Sequence[Unit]:
    if len(group) <= _EXACT_LIMIT:
        return min(combinations(group, count), key=_ranking(links))
    ordered = sorted(group, key=lambda unit: unit.index)
    if count == len(ordered):
        return ordered
    weights = _weights(ordered, links)
    best: list[tuple[tuple[float, ...], list[Unit]]] = []
    for seed in range(len(ordered)):
        members, unlinked, bandwidth = _grown(seed, count, weights)
        grown = [ordered[n] for n in sorted(members)]
        best.append((_rank(grown, unlinked, bandwidth), grown))
    return min(best, key=lambda ranked: ranked[0])[1]


class _Weights(NamedTuple):
    """One integer for each unit of a group: the lightest candidate keeps a growing set best.

    A candidate weighs ``alone``, and ``joined`` with each member. That puts the parts of
    :func:`_rank` in which candidates differ into digits: the class of platform, health and used
    memory; pairs without a link, ``base`` for each, less all links; the place by total memory and
    index, below ``size``.
    """

    alone: list[int]
    joined: list[list[int]]
    base: int
    size: int
    most: int  # more than any candidate weighs


def _weights(group: Sequence[Unit], links: Links) -> _Weights:
    size = len(group)
    base = 1 + size * size * max(links.values(), default=0)
    span = size * base * (size + 2)
    kinds = [(unit.platform is None, _health(unit), _used(unit)) for unit in group]
    classes = {kind: n for n, kind in enumerate(sorted(set(kinds)))}
    by_total = sorted(range(size), key=lambda n: (-(group[n].memory_total_mib or 0), n))
    places = {n: place for place, n in enumerate(by_total)}
    return _Weights(
        alone=[classes[kind] * span + places[n] for n, kind in enumerate(kinds)],
        joined=[[size * (-links.get((a.index, b.index), 0) or base) for b in group] for a in group],
        base=base,
        size=size,
        most=(len(classes) + 1) * span,
    )


def _grown(seed: int, count: int, w: _Weights) -> tuple[list[int], int, int]:
    """A set grown from ``seed``, each time by the lightest candidate, and its linkage."""
    members, weights, linkage = [seed], list(map(add, w.alone, w.joined[seed])), 0
    weights[seed] = w.most
    while len(members) < count:
        lightest = min(weights)
        new = weights.index(lightest)
        linkage += (lightest - w.alone[new]) // w.size
        members.append(new)
        weights = list(map(add, weights, w.joined[new]))
        weights[new] = w.most
    unlinked = -(-linkage // w.base)
    return members, unlinked, unlinked * w.base - linkage


def _reason(chosen: Sequence[Unit], pool: Sequence[Unit], links: Links, *, named: bool) -> str:
    """One sentence: what was chosen from what, and what it has going for it."""
    sort = {"gpu": "GPU", "partition": "partition", "mig": "MIG slice"}[chosen[0].kind]
    what = f"{len(chosen)} {sort}{'s' if len(chosen) > 1 else ''}"
    on = "of GPU" if chosen[0].kind == "mig" else "index"
    where = f"{what} ({on} {', '.join(str(unit.index) for unit in chosen)})"
    if named:
        start = f"{where} of those named"
    elif len(chosen) == len(pool):
        start = f"{where}, all there is"
    else:
        start = f"{where} of {len(pool)}"
    merits = [_health_merit(chosen), _memory_merit(chosen)]
    if len(chosen) > 1:
        merits.append(_link_merit(chosen, links))
    return f"{start}: {', '.join(merits)}"


def _health_merit(chosen: Sequence[Unit]) -> str:
    degraded = [str(unit.index) for unit in chosen if unit.health.status == "degraded"]
    if degraded:
        return f"degraded: {', '.join(degraded)} (no healthy set is large enough)"
    known = all(unit.health.status == "ok" for unit in chosen)
    return "healthy" if known else "health unknown"


def _memory_merit(chosen: Sequence[Unit]) -> str:
    free = [unit.memory_free_mib for unit in chosen if unit.memory_free_mib is not None]
    if len(free) < len(chosen):
        return "free memory unknown"
    return f"at least {min(free)} MiB free on each" if len(free) > 1 else f"{free[0]} MiB free"


def _link_merit(chosen: Sequence[Unit], links: Links) -> str:
    unlinked, _ = _linkage(chosen, links)
    pairs = len(chosen) * (len(chosen) - 1) // 2
    if unlinked == 0:
        return "all joined by direct links"
    if unlinked == pairs:
        return "no direct links known"
    return f"{unlinked} of {pairs} pairs without a known direct link"


def _named(inventory: Inventory, ids: Sequence[str]) -> Iterable[Unit]:
    """The units that ``ids`` name, in that order."""
    seen: set[str] = set()
    everything = inventory.units
    for wanted in ids:
        found = _find(everything, wanted.strip())
        if len(found) != 1:
            raise _unknown_id(inventory, everything, wanted, found)
        if found[0].id in seen:
            raise UsageError(f"GPU {wanted!r} is named twice", code="gpu-id")
        seen.add(found[0].id)
        yield found[0]


def _find(everything: Sequence[Unit], wanted: str) -> list[Unit]:
    exact = [unit for unit in everything if unit.id.lower() == wanted.lower()]
    if exact:
        return exact
    if wanted.isdecimal() and wanted.isascii():
        return [unit for unit in everything if unit.index == int(wanted)]
    long_enough = len(wanted) > len("GPU-")
    return [
        unit for unit in everything if long_enough and unit.id.lower().startswith(wanted.lower())
    ]


def _unknown_id(
    inventory: Inventory, everything: Sequence[Unit], wanted: str, found: Sequence[Unit]
) -> UsageError:
    hidden = [device for device in inventory.devices if _hidden(device, wanted)]
    if found:
        trouble = "names more than one: " + ", ".join(unit.id for unit in found)
    elif hidden:
        variables = " or ".join(inventory.visibility) or "the environment"
        trouble = f"is hidden by {variables}"
    else:
        trouble = "is not on this host"
    return UsageError(
        f"GPU {wanted!r} {trouble}",
        needed="indices, UUIDs or unique beginnings of UUIDs",
        found="visible here: " + (", ".join(f"{u.index} ({u.id})" for u in everything) or "none"),
        remedies=("gemma4ctl detect lists the GPUs",),
        code="gpu-id",
    )


def _hidden(device: Device, wanted: str) -> bool:
    return not device.visible and wanted.lower() in (str(device.index), (device.uuid or "").lower())


def _no_plan(
    inventory: Inventory,
    count: int,
    need_free_mib: int | None,
    usable: Sequence[Unit],
    faults: dict[str, str | None],
) -> NoPlanError:
    largest = max((len(group) for group in _groups(usable)), default=0)
    need = f"{count} GPU{'s' if count > 1 else ''}" + (" of one platform" if count > 1 else "")
    if need_free_mib is not None:
        need += f" with {need_free_mib} MiB free each"
    reasons = [f"{key}: {why}" for key, why in faults.items() if why]
    if not inventory.devices:
        reasons += inventory.problems
    split = sum(device.mig_enabled for device in inventory.devices)
    if split and count > 1:
        reasons.append(f"{split} split into MIG slices, which join no group")
    hidden = sum(not device.visible and not device.mig_enabled for device in inventory.devices)
    if hidden:
        reasons.append(f"{hidden} hidden by {' or '.join(inventory.visibility) or 'the choice'}")
    found = f"{largest} usable" + (f" ({'; '.join(reasons)})" if reasons else "")
    remedies = []
    if largest:
        remedies.append(f"use {largest} GPU{'s' if largest > 1 else ''}")
    if hidden and inventory.visibility:
        remedies.append("unset the variable that hides GPUs")
    if any(why and "MiB" in why for why in faults.values()):
        remedies.append("end the processes that hold GPU memory (gemma4ctl detect lists them)")
    if not inventory.devices:
        remedies.append("plan for other hardware: --hardware NAME --gpus N")
    return NoPlanError(
        "too few GPUs can be used",
        needed=need,
        found=found,
        remedies=tuple(remedies) or ("gemma4ctl detect shows what is wrong with each GPU",),
        code="too-few-gpus",
    )
