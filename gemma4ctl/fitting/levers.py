"""What single changes bring for a load, on top of the plan for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from gemma4ctl.capacity import stages
from gemma4ctl.capacity.workload import Workload, uniform
from gemma4ctl.fitting.document import Lever, LeverName
from gemma4ctl.fitting.outcome import Outcome, Planner, same_tp
from gemma4ctl.planning.chunks import LEAST_CHUNK
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.load import USUAL_REQUEST
from gemma4ctl.planning.memory import MEASURED_ON, raised
from gemma4ctl.planning.rules.parallelism import divides
from gemma4ctl.planning.situation import LARGEST_TP
from gemma4ctl.planning.staged import graph_batch
from gemma4ctl.settings import LARGEST_NUMBER

FP8 = ("--kv-cache-dtype", "fp8_e4m3")
SHARE_STEPS = 1_000  # of the memory: how finely a share is set
GRAPH_STEP = 8  # a largest batch for CUDA graphs is a multiple of this

# SGLang 0.5.15 to 0.5.22 give the sliding layers of the unified pool the heads of the full ones,
# which are others in Gemma 4 (_init_unified_swa_pools; 0.5.23: _unified_swa_head_geometry).
UNIFIED_SINCE, UNIFIED_FIXED = "0.5.15", "0.5.23"

TITLES: dict[LeverName, str] = {
    "published": "published values",
    "load": "split for the load",
    "more-running": "and more running requests",
    "larger-share": "and a larger memory share",
    "kv-fp8": "and FP8 KV cache",
    "smaller-chunk": "and a smaller prefill chunk",
    "fewer-graphs": "and fewer CUDA graphs",
    "more-gpus": "and more GPUs",
    "unified-memory": "unified memory pool",
}


class Change(NamedTuple):
    """Fields of the request to change, or why it is not to be had; ``note`` says what it costs."""

    fields: dict[str, Any] | None
    note: str


def plan_for_load(planner: Planner, asked: Outcome) -> Outcome | None:
    """The plan for the load of ``asked``, or for usual requests where it names none."""
    r = asked.request
    named = r.request_tokens or r.context_length or r.concurrency
    return planner.attempt(r, **same_tp(asked), safe=False, optimize=not named)


def load_of(asked: Outcome, best: Outcome) -> Workload:
    """What the levers are compared for."""
    found = best.memory.load if best.memory else None
    return found or uniform(min(USUAL_REQUEST, asked.situation.context))


def levers(
    planner: Planner, usual: Outcome | None, best: Outcome, load: Workload
) -> Iterator[Lever]:
    """The published plan ``usual``, that for the load ``best``, and what else would change it."""
    m = best.memory
    if m is None:
        return
    before = usual and usual.held(load)
    base = before.requests if before else 0
    note = "page and SGLang defaults" if usual else "does not start"
    compare = _Comparison(planner, load, base)
    yield compare.lever("published", usual, note)
    yield compare.lever("load", best, _note_of_split(m))
    for name, change in _changes(best, m, load):
        found = None
        if change.fields is not None:
            found = planner.attempt(best.request, **change.fields)
            change = change if found else Change(None, "has no plan here")
        yield compare.lever(name, found, change.note)


class _Comparison(NamedTuple):
    """What levers are measured with: a load, of which published values run ``base`` at once."""

    planner: Planner
    load: Workload
    base: int

    def lever(self, name: LeverName, found: Outcome | None, note: str) -> Lever:
        """What ``found`` brings; None: the lever is not to be had."""
        held = found and found.held(self.load)
        return Lever(
            name=name,
            title=TITLES[name],
            gpus=found.situation.tp * found.situation.groups if found else None,
            requests=held.requests if held else None,
            full_layer_tokens=found.memory.pools.full if found and found.memory else None,
            gain=round(held.requests / self.base, 3) if held and self.base else None,
            note=note,
            command=self.planner.command(found.request) if found else None,
        )


def _note_of_split(m: Memory) -> str:
    chunk = f"{int(m.chunk.value):,}-token chunks" if m.chunk.value > 0 else "no chunks"
    return f"ratio {m.ratio.value:g}, {chunk}, {m.share.value:g} of the memory"


def _changes(best: Outcome, m: Memory, load: Workload) -> Iterator[tuple[LeverName, Change]]:
    if best.limit(m.held(load)) == "running requests":
        yield "more-running", _running(best, m, load)
    yield "larger-share", _share(best, m)
    yield "kv-fp8", _fp8(best)
    yield "smaller-chunk", _chunk(best, m)
    yield "fewer-graphs", _graphs(best, m, load)
    yield "more-gpus", _gpus(best)
    yield "unified-memory", Change(None, _unified(best))


def _with_flags(best: Outcome, *words: str) -> dict[str, Any]:
    return {"extra_args": (*best.request.extra_args, *words)}


def _running(best: Outcome, m: Memory, load: Workload) -> Change:
    """As many running requests as the pools hold of the load."""
    if best.situation.given("max_running_requests") is not None:
        return Change(None, "you chose their number")
    count = m._replace(running=LARGEST_NUMBER).held(load).requests
    return Change({"concurrency": count}, f"{count} instead of {m.running}; each takes a table row")


def _share(best: Outcome, m: Memory) -> Change:
    """As much of the memory as the memory model says can be spared."""
    s = best.situation
    if s.request.mem_fraction or s.given("mem_fraction_static"):
        return Change(None, "you chose the memory fraction")
    if s.platform.architecture != MEASURED_ON:
        return Change(None, f"what SGLang needs beside the pools is measured on {MEASURED_ON} only")
    share = raised(s, s.tp, m).value
    if share <= m.share.value:
        return Change(None, f"{m.share.value:g} leaves no more than is needed")
    note = f"{share:g} instead of {m.share.value:g}; computed, try it with your longest prompts"
    return Change({"mem_fraction": share}, note)


def _fp8(best: Outcome) -> Change:
    if best.situation.given("kv_cache_dtype") is not None:
        return Change(None, "you chose the KV type")
    if best.situation.kv_cache_dtype == FP8[1]:
        return Change(None, "the checkpoint has one already")
    return Change(_with_flags(best, *FP8), "half the bytes a token; compare answers first")


def _chunk(best: Outcome, m: Memory) -> Change:
    s = best.situation
    if s.given("chunked_prefill_size") is not None:
        return Change(None, "you chose the chunk")
    chunk = int(m.chunk.value)
    usual = s.auto_size.chunked_prefill if s.auto_size else LEAST_CHUNK
    smaller = usual if chunk < 0 else chunk // 2
    if smaller < LEAST_CHUNK:
        return Change(None, f"the plan's chunk of {chunk:,} is small already")
    note = f"{smaller:,} tokens; prompts are computed in more steps"
    return Change(_with_flags(best, "--chunked-prefill-size", str(smaller)), note)


def _graphs(best: Outcome, m: Memory, load: Workload) -> Change:
    """CUDA graphs for no more than the load runs at once; what they took goes to the KV cache."""
    s, flag = best.situation, best.situation.release.row.graph_max_bs_flag
    declared = s.flags.find(flag)
    if best.request.mem_fraction or s.given("mem_fraction_static"):
        return Change(None, "you chose the memory fraction")
    if declared is None or s.given(declared.dest) is not None or s.given("disable_cuda_graph"):
        return Change(None, "you chose the CUDA graphs")
    now = graph_batch(s, s.tp, m)
    each = -(-m.held(load).requests // m.servers)
    batch = -(-max(1, each) // GRAPH_STEP) * GRAPH_STEP
    freed = stages.cuda_graphs(s.variant, now) - stages.cuda_graphs(s.variant, batch)
    share = int(SHARE_STEPS * (m.share.value + max(0, freed) / m.start)) / SHARE_STEPS
    if batch >= now:
        runs = f"a server runs {each} of this load at once"
        return Change(None, f"{runs}; its graphs are for no more than {now} already")
    note = f"batches of up to {batch} instead of {now} free {freed / (1 << 30):.1f} GiB"
    if share <= m.share.value:
        return Change(None, f"{note}, too little to count")
    fields = {**_with_flags(best, flag, str(batch)), "mem_fraction": share}
    return Change(fields, f"{note} for KV cache")


def _gpus(best: Outcome) -> Change:
    s = best.situation
    sizes = [2**n for n in range(1, LARGEST_TP.bit_length())]
    larger = [n for n in sizes if s.tp < n and n * s.groups <= len(s.group) and divides(s, n)]
    if s.given("tp_size") is not None:
        return Change(None, "you chose the TP")
    if not larger:
        return Change(None, f"no larger TP of {len(s.group)} usable GPUs divides the heads")
    return Change({"tp": larger[0]}, f"TP {larger[0]} instead of {s.tp}")


def _unified(best: Outcome) -> str:
    release = best.situation.release
    if release.before(UNIFIED_SINCE):
        return f"SGLang has it from {UNIFIED_SINCE} on"
    if release.before(UNIFIED_FIXED):
        return (
            f"not usable: until {UNIFIED_FIXED} its sliding pool has the heads of the full layers"
        )
    if best.situation.mtp:
        return "not with MTP"
    return "not predicted: at best as the split for each load, without choosing one"
