"""The plan for the load that was seen, beside the present settings: what changes, what it brings.

The present settings are a plan too: the user's request with the arguments of the running server as
its own flags, or the published values. The proposal is the same request for the load's lengths and
number of requests, so the capacity solver chooses split, prefill chunk, cap and graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gemma4ctl.capacity.solver import Held
from gemma4ctl.capacity.workload import Workload
from gemma4ctl.errors import NoPlanError
from gemma4ctl.flags.table import FlagTable
from gemma4ctl.flags.table import load as load_flags
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.engine import consider, plan
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.measurements import load_measurements
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.replanning import throughput
from gemma4ctl.replanning.limit import Limit, find
from gemma4ctl.replanning.observation import Observation

# Arguments of a server that the plan for a load chooses, with the decision that shows the choice.
LEVERS = {
    "swa_full_tokens_ratio": "swa_full_tokens_ratio",
    "chunked_prefill_size": "chunked_prefill_size",
    "mem_fraction_static": "mem_fraction_static",
    "max_running_requests": "max_running_requests",
    "cuda_graph_max_bs_decode": "cuda_graph_max_bs",
    "cuda_graph_max_bs": "cuda_graph_max_bs",
}
SPLITS = "triton_attention_num_kv_splits"  # chosen for few long requests where nobody did
CHOSEN = {**LEVERS, SPLITS: SPLITS}
UNHELPED = ("none", "prefill")  # limits that larger pools do nothing about
KEPT = (
    "kv_cache_dtype",
    "context_length",
    "attention_backend",
    "dp_size",
    "enable_dp_attention",
    SPLITS,
)  # both plans have the server's


class Side(NamedTuple):
    """A plan and what its pools hold of the load; ``memory`` is None where it is not modelled.

    ``given``: the levers that are the user's own flags, or the running server's.
    """

    plan: Plan
    memory: Memory | None
    held: Held | None
    given: Mapping[str, str]


class Change(NamedTuple):
    """An SGLang argument whose value differs; None: left to SGLang."""

    argument: str
    flag: str
    before: str | None
    after: str | None


class Gain(NamedTuple):
    """A prediction. ``running`` and ``requests_s`` before and after; ``ratio`` of the latter."""

    running_before: float
    running_after: float
    requests_s_before: float | None
    requests_s_after: float | None
    ratio: float | None
    model: throughput.Model | None


class Proposal(NamedTuple):
    """What binds now, and what to change."""

    limit: Limit
    load: Workload
    before: Side
    after: Side
    changes: tuple[Change, ...]
    gain: Gain | None


def propose(
    seen: Observation, request: Request, inventory: Inventory, profiles: Profiles
) -> Proposal:
    """The plan for what was seen.

    Args:
        seen: the observation; its ``arguments`` are those of the running server.
        request: what the user says of model and hardware; its flags after ``--`` are present ones.
        inventory: the host, as if the server were not running.
        profiles: the fact table.

    Raises:
        NoPlanError: nothing holds the longest requests of the load.
    """
    load = seen.load()
    before = _side(_present(request, seen, inventory, profiles), inventory, profiles, load)
    limit = find(seen, before.held)
    if limit.name in UNHELPED:
        return Proposal(
            limit, load, before, before, (), _gain(seen, limit, before, before, profiles)
        )
    wanted = _wanted(request, seen, inventory, profiles, load)
    after = _side(wanted, inventory, profiles, load)
    if after.held is not None and after.held.requests == 0:
        raise NoPlanError(
            f"no settings on this hardware hold a request of {load.longest:,} tokens",
            needed=f"KV pools for {load.longest:,} tokens",
            found=f"{after.memory.pools.full:,} tokens" if after.memory else None,
            remedies=["more GPUs (--gpus), or a smaller variant or checkpoint"],
            code="load-too-long",
        )
    return Proposal(
        limit=limit,
        load=load,
        before=before,
        after=after,
        changes=changes(before, after),
        gain=_gain(seen, limit, before, after, profiles),
    )


def _present(
    request: Request, seen: Observation, inventory: Inventory, profiles: Profiles
) -> Request:
    """The request whose plan is what is running now: published values, and the known arguments."""
    flags = consider(request, inventory, profiles).situation.flags
    words = _words(seen.arguments, (*LEVERS, *KEPT), flags)
    return _alike(request, seen).model_copy(
        update={
            "safe": True,
            "request_tokens": None,
            "optimize": False,
            "extra_args": (*request.extra_args, *words),
        }
    )


def _wanted(
    request: Request, seen: Observation, inventory: Inventory, profiles: Profiles, load: Workload
) -> Request:
    """The request for the plan that fits the load; the levers are the solver's to choose."""
    situation = consider(request, inventory, profiles).situation
    own = [w for given in situation.user_words if given.dest not in LEVERS for w in given.words]
    kept = _words(seen.arguments, KEPT, situation.flags)
    mix = ",".join(f"{part.argument()}:{part.share:.4f}" for part in load.mix)
    asked = {"safe": False, "request_tokens": mix, "extra_args": (*own, *kept)}
    wanted = _alike(request, seen).model_copy(update={**asked, "concurrency": None})
    situation = consider(wanted, inventory, profiles).situation
    found = memory(situation, situation.tp, situation.mtp)
    most = found.held(load).requests if found else load.concurrency
    return wanted.model_copy(update={"concurrency": min(most, load.concurrency) or None})


def _alike(request: Request, seen: Observation) -> Request:
    """``request`` with what the server's arguments say and the user does not."""
    arguments = seen.arguments
    found: dict[str, Any] = {}
    if request.tp is None and arguments.get("tp_size"):
        found["tp"] = int(arguments["tp_size"])
    if request.mtp is None and arguments:
        found["mtp"] = bool(arguments.get("speculative_algorithm"))
    return request.model_copy(update=found)


def _words(arguments: Mapping[str, Any], names: Iterable[str], flags: FlagTable) -> list[str]:
    """The server's arguments called ``names``, as flags; SGLang's defaults are not repeated."""
    found: list[str] = []
    for name in names:
        value, flag = arguments.get(name), flags.flag_of(name)
        if flag is None or value == flag.default:
            continue
        if value is True:
            found.append(flag.canonical)
        elif isinstance(value, (int, float, str)) and value is not False:
            found += [flag.canonical, str(value)]
    return found


def _side(request: Request, inventory: Inventory, profiles: Profiles, load: Workload) -> Side:
    """The plan of ``request``, and what it holds of ``load``."""
    situation = consider(request, inventory, profiles).situation
    found = memory(situation, situation.tp, situation.mtp)
    made = plan(request, inventory, profiles)
    own = ((name, situation.given(name)) for name in LEVERS)
    given = {name: str(value) for name, value in own if value is not None}
    return Side(made, found, found.held(load) if found else None, given)


def changes(before: Side, after: Side) -> tuple[Change, ...]:
    """The arguments whose value is another one, as far as both plans know it."""
    flags = load_flags(after.plan.release)
    found = []
    for argument, decision in CHOSEN.items():
        flag = flags.flag_of(argument)
        old, new = (_value(side, argument, decision) for side in (before, after))
        if flag is not None and old != new and after.plan.value(decision) is not None:
            found.append(Change(argument, flag.canonical, old, new))
    return tuple(found)


def _value(side: Side, argument: str, decision: str) -> str | None:
    """What a plan makes of a lever: decided, given, or SGLang's own choice where that is known."""
    found = side.memory
    if found is not None and decision == "swa_full_tokens_ratio":
        return f"{found.ratio.value:g}"
    if found is not None and decision == "chunked_prefill_size":
        return f"{found.chunk.value:g}"
    value = side.plan.value(decision)
    if value is None and found is not None and decision == "max_running_requests":
        return str(found.running)
    return side.given.get(argument) if value is None else str(value)


def _gain(
    seen: Observation, limit: Limit, before: Side, after: Side, profiles: Profiles
) -> Gain | None:
    """What the change brings; None where the requests at once or the pools are not known."""
    in_flight = seen.in_flight
    if in_flight is None or before.held is None or after.held is None:
        return None
    now = seen.running if seen.waiting is not None else min(in_flight, before.held.requests)
    now = max(1.0, now or 0.0)
    cap = after.memory.running * after.memory.servers if after.memory else in_flight
    most = min(in_flight, cap)
    then = max(now, _running_after(now, most, limit, before.held, after.held))
    model = _model(seen, now, before, profiles)
    if model is None:
        return Gain(now, then, None, None, None, None)
    old, new = model.requests_s(now), model.requests_s(then)
    return Gain(now, then, old, new, new / old, model)


def _running_after(now: float, most: float, limit: Limit, before: Held, after: Held) -> float:
    """Requests that will run at once: as many more as the pools hold, no more than ``most``."""
    if limit.name in UNHELPED:
        return now
    grown = now * after.requests / before.requests if before.requests else float(after.requests)
    return min(most, grown)


def _model(
    seen: Observation, running: float, side: Side, profiles: Profiles
) -> throughput.Model | None:
    """The throughput model of what was seen; None without a rate to fit it to."""
    if not seen.requests_s or side.memory is None:
        return None
    made = side.plan
    single = throughput.single_step_s(
        profiles,
        load_measurements().speed,
        made.variant.name,
        made.hardware.platform,
        made.hardware.gpu_count,
    )
    read = _read_s(side.memory, seen, made, profiles)
    heads = profiles.variants[made.variant.name].kv_heads.full // made.hardware.gpu_count
    occupied_at = throughput.occupied_at(heads)
    step = seen.step_s or single + read * max(running, occupied_at)
    fitted_to = throughput.Seen(seen.requests_s, running, step, seen.output_tokens, seen.prefill_s)
    return throughput.fit(fitted_to, single_s=single, read_s=read, occupied_at=occupied_at)


def _read_s(found: Memory, seen: Observation, made: Plan, profiles: Profiles) -> float:
    """The least seconds that reading one request's KV cache takes in a decode step."""
    row = profiles.platforms.get(made.hardware.platform)
    bandwidth = (row.bandwidth_gb_s if row else None) or throughput.USUAL_BANDWIDTH
    tokens = seen.input_tokens + seen.output_tokens / 2
    read = tokens * found.cost.full + min(tokens, found.window) * found.cost.sliding
    return read / (bandwidth * 1e9)
