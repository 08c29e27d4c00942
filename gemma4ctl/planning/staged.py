"""The memory of one GPU of a plan from bottom to top: weights, pools, tables, CUDA graphs.

Bytes of the fullest GPU.
"""

from __future__ import annotations

from gemma4ctl.capacity import stages
from gemma4ctl.capacity.stages import MIB, Stages
from gemma4ctl.capacity.weights import Shards, file_bytes, loaded
from gemma4ctl.planning.fraction import TP_OF_LARGE_GRAPHS, least_free_mib
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.kv_cache import cost_of
from gemma4ctl.planning.situation import Situation
from gemma4ctl.sglang_model.switches import PREFILL_GRAPHS_VARIABLE, prefill_graph_sizes


def checkpoint_bytes(s: Situation) -> int:
    """Bytes of the checkpoint's files; estimated by format where they are not published."""
    return file_bytes(s.variant, s.checkpoint)


def weight_bytes(s: Situation, tp: int) -> int:
    """Bytes of the weights on one rank."""
    return loaded(s.variant, s.checkpoint, Shards(tp, s.pp)).weights


def staged(s: Situation, tp: int, found: Memory) -> Stages:
    """``found`` as the memory of one GPU from bottom to top."""
    total = min(unit.memory_total_mib or 0 for unit in s.selection(tp).units) * MIB
    free = (least_free_mib(s, tp) or 0) * MIB
    tokens = sum(found.pools)
    table = stages.request_table(found.running, s.context, found.draft_tokens)
    return Stages(
        total=total,
        others=total - min(free, stages.idle_free_mib(total // MIB) * MIB),
        runtime=max(0, min(free, stages.idle_free_mib(total // MIB) * MIB) - found.start),
        weights=found.weights,
        draft=found.draft,
        full_kv=found.pools.full * cost_of(s, tp, draft=False).full,
        sliding_kv=found.pools.sliding * found.cost.sliding,
        tables=table + stages.pool_overhead(s.variant, tokens),
        graphs=graph_bytes(s, tp, found),
    )


def graph_bytes(s: Situation, tp: int, found: Memory) -> int:
    """Bytes of the CUDA graphs of decode, and of prefill where the plan has some."""
    decode = stages.cuda_graphs(s.variant, graph_batch(s, tp, found))
    if "prefill_graphs" not in s.made:
        return decode
    sizes = prefill_graph_sizes({PREFILL_GRAPHS_VARIABLE: str(s.value("prefill_graphs"))})
    return decode + stages.prefill_graphs(s.variant, sizes, tp)


def graph_batch(s: Situation, tp: int, found: Memory) -> int:
    """The largest decode batch with a CUDA graph: SGLang's own, or no more than may run."""
    size = s.auto_size
    if size is None:
        return found.running
    usual = size.graph_max_bs if tp < TP_OF_LARGE_GRAPHS else size.graph_max_bs_tp4
    return usual if found.load is None else min(usual, found.running)
