"""Memory of one GPU under a plan: weights, SGLang's memory fraction, and its two KV pools.

The pool sizes follow SGLang's ``HybridSWAPoolConfigurator`` (0.5.11 to 0.5.23) and the derived
fraction its ``mem_fraction_static`` heuristic; both are restated here from the published source.
Bytes unless a name says MiB.
"""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.planning.situation import Situation, free_mib
from gemma4ctl.profiles.table import Status, Variant

MIB = 1 << 20
BF16 = 2

DEFAULT_SWA_RATIO = 0.8  # --swa-full-tokens-ratio when unset
LARGEST_PAGE = 64  # tokens of a KV page of trtllm_mha; others use 1
MTP_DRAFT_LAYERS_CHARGED = 4  # SGLang charges the draft's layers although they own no KV

# Measured with SGLang 0.5.16 on H100 and H200: free memory at "Load weight begin" against the
# card's total. Driver reservation, CUDA context and NCCL.
CONTEXT_MIB = 1230

# Allocator rounding and tensors made while loading, over the bytes of the checkpoint. Measured on
# H100 and H200 with 0.5.16: E2B 0.49, E4B 0.46, 26B-A4B 0.94, 31B 1.24 GB.
LOAD_OVERHEAD_SHARE = 0.02
LOAD_OVERHEAD_FLOOR = 460_000_000

# Share of the usual reserve that a plan on a busy GPU keeps at least.
LEAST_RESERVE = 0.9

MAX_PREFILL_TOKENS = 16_384  # --max-prefill-tokens when unset: stands in for an unchunked prefill
TP_OF_LARGE_GRAPHS = 4  # from this TP on SGLang captures CUDA graphs for larger batches

# Bytes of a quantized parameter by format, with its scales: estimates for checkpoints whose size is
# not published (the published w4a16 ones have 0.68 to 0.75). NVFP4 leaves attention in bf16.
BYTES_PER_PARAMETER = {"bf16": 2.0, "fp8": 1.05, "nvfp4": 0.5625, "w4a16": 0.75}


# Of memory shared with the host: 0.70 ran on a GB10, 0.60 to 0.85 emptied the RAM of another.
UNIFIED_FRACTION = 0.70


class Fraction(NamedTuple):
    """A memory fraction; ``value`` is what SGLang will use, ``emitted`` whether a flag says so."""

    value: float
    emitted: bool
    status: Status
    reason: str
    source: str
    origin: str = "rule"


class Pools(NamedTuple):
    """The KV pools of one GPU, in tokens, and what went into them."""

    weights: int
    draft: int
    cell: int  # bytes of one token of the full pool, its share of the sliding pool included
    full_tokens: int
    swa_tokens: int
    sliding_window: int
    max_running_requests: int

    def requests(self, context: int) -> int:
        """Requests of ``context`` tokens that the pools hold at once."""
        sliding = self.swa_tokens // (min(context, self.sliding_window) + 1)
        return max(0, min(self.full_tokens // context, sliding, self.max_running_requests))


def fraction(s: Situation, tp: int, mtp: bool) -> Fraction | None:
    """The memory fraction for ``tp`` ranks: the user's, the published one, or a derived one.

    None where nothing is published and the memory is not known: SGLang decides.
    """
    user = s.given("mem_fraction_static")
    if user is not None:
        return Fraction(float(user), False, "estimated", "your own flag", "user", "after --")
    asked = s.request.mem_fraction
    origin = s.request.origins.get("mem_fraction", "flag")
    if asked == "auto":
        return _left_to_sglang(s, tp, origin)
    if asked is not None:
        return Fraction(float(asked), True, "estimated", "asked for", "user", origin)
    return _lowered(s, tp, _published(s, tp, mtp) or _derived(s, tp))


def _left_to_sglang(s: Situation, tp: int, origin: str) -> Fraction | None:
    value = sglang_fraction(s, tp, multimodal=True)
    if value is None:
        return None
    reason = f"left to SGLang, which picks about {value:.3f}"
    return Fraction(round(value, 4), False, "estimated", reason, "wheels", origin)


def _published(s: Situation, tp: int, mtp: bool) -> Fraction | None:
    """The share published for this GPU, or for one like it; none is for a slice of a GPU."""
    if s.group[0].kind == "mig":
        return None
    cell, similar = s.cell(mtp), s.similar_cell(mtp)
    if cell and cell.mem_fraction is not None:
        reason = f"published for {s.variant_name} on {s.platform_name}"
        return Fraction(cell.mem_fraction, True, cell.status, reason, cell.source)
    if similar is None or similar.mem_fraction is None:
        return None
    derived = _derived(s, tp)
    if derived and derived.value < similar.mem_fraction:
        reason = f"{similar.mem_fraction:g} is published for {s.platform.like}; {derived.reason}"
        return derived._replace(reason=reason)
    reason = f"published for {s.platform.like}, which this GPU resembles"
    return Fraction(similar.mem_fraction, True, "estimated", reason, similar.source)


def _derived(s: Situation, tp: int) -> Fraction | None:
    heuristic = sglang_fraction(s, tp, multimodal=False)
    if heuristic is None:
        return None
    if s.platform.unified_memory and heuristic > UNIFIED_FRACTION:
        reason = "the GPU's memory is the host's, which must keep some"
        return Fraction(UNIFIED_FRACTION, True, "estimated", reason, "issue-34872")
    reason = "leaves what SGLang's own heuristic reserves for CUDA graphs and activations"
    return Fraction(_down(heuristic), True, "estimated", reason, "wheels")


def _lowered(s: Situation, tp: int, usual: Fraction | None) -> Fraction | None:
    """``usual``, less where others hold memory, to keep what CUDA graphs and activations need.

    SGLang takes the fraction of the memory that it finds free, so the rest shrinks with it.
    """
    free, total = _least_free(s, tp), s.unit_mib
    if usual is None or not free or not total:
        return usual
    heuristic = sglang_fraction(s, tp, multimodal=False) or usual.value
    reserve = LEAST_RESERVE * total * (1 - max(usual.value, heuristic))
    value = max(0.01, _down(1 - reserve / free))
    if value >= usual.value:
        return usual
    reason = f"lowered from {usual.value:g}: {total - free:,} MiB are not free"
    return Fraction(value, True, "estimated", reason, "detected")


def _down(value: float) -> float:
    """``value`` rounded down to two decimals."""
    return int(value * 100 + 1e-9) / 100


def sglang_fraction(s: Situation, tp: int, *, multimodal: bool) -> float | None:
    """SGLang's own memory fraction, None where the memory is not known.

    ``multimodal`` applies its further cut for image encoders.
    """
    size, total = s.auto_size, s.unit_mib
    if size is None or total is None:
        return None
    graph_batch = size.graph_max_bs if tp < TP_OF_LARGE_GRAPHS else size.graph_max_bs_tp4
    chunk = int(s.given("chunked_prefill_size") or size.chunked_prefill)
    tokens = max(chunk if chunk > 0 else MAX_PREFILL_TOKENS, 2048)
    reserved = 512 + 1.5 * tokens + tp * s.pp / 8 * 1024 + 2 * graph_batch
    if total > 61440:
        reserved = max(reserved, 10240)
    value = round((total - reserved) / total, 3)
    return value * _vision_factor(s.variant) if multimodal else value


def _vision_factor(v: Variant) -> float:
    """What SGLang leaves of its fraction for image input; it takes 24 x 1024 for no encoder."""
    usual = 24 * 1024**2
    weight = v.vision.layers * v.vision.hidden_size**2 / usual if v.vision.layers else 1
    return 0.95 * min(1.05, max(0.8, 1 - 0.1 * (weight - 1)))


def checkpoint_bytes(s: Situation) -> int:
    """Bytes of the checkpoint's files; estimated by format where they are not published."""
    if s.checkpoint.weight_bytes is not None:
        return s.checkpoint.weight_bytes
    v = s.variant
    only_mlp = s.checkpoint.format == "nvfp4"
    quantized = mlp_parameters(v) if only_mlp else v.parameters - replicated_parameters(v)
    kept = v.parameters - quantized
    return int(kept * BF16 + quantized * BYTES_PER_PARAMETER[s.checkpoint.format])


def weight_bytes(s: Situation, tp: int) -> int:
    """Bytes of the weights on one rank.

    Embeddings, per-layer embeddings and the image and audio towers are on every rank; the rest is
    sharded. Full layers with ``attention_k_eq_v`` load their K projection twice.
    """
    total = checkpoint_bytes(s)
    v = s.variant
    replicated = min(total, replicated_parameters(v) * BF16)
    doubled_k = v.layers.full * v.hidden_size * v.kv_heads.full * v.head_dim.full if v.k_eq_v else 0
    sharded = total - replicated + doubled_k * BF16
    shards = tp * s.pp
    overhead = max(LOAD_OVERHEAD_FLOOR, int(LOAD_OVERHEAD_SHARE * total / shards))
    return replicated + sharded // shards + overhead


def replicated_parameters(v: Variant) -> int:
    """Parameters that tensor parallelism does not shard."""
    embeddings = v.vocab_size * (
        v.hidden_size + (v.layers.sliding + v.layers.full) * v.per_layer_input
    )
    return embeddings + v.vision.parameters + (v.audio.parameters if v.audio else 0)


def mlp_parameters(v: Variant) -> int:
    """Parameters of the feed-forward layers, or of the experts."""
    if v.experts:
        return v.experts.parameters
    return (v.layers.sliding + v.layers.full) * 3 * v.hidden_size * v.intermediate_size


def draft_bytes(s: Situation) -> int:
    """Bytes of the MTP draft on one rank (replicated)."""
    return s.checkpoint.draft_bytes or s.variant.draft.parameters * BF16


def cell_bytes(v: Variant, tp: int, *, mtp: bool, ratio: float, kv_bytes: int = BF16) -> int:
    """Bytes that one token costs in SGLang's pools at a sliding/full ratio of ``ratio``."""
    full = max(1, v.kv_heads.full // tp) * 2 * v.head_dim.full * kv_bytes
    sliding = max(1, v.kv_heads.sliding // tp) * 2 * v.head_dim.sliding * kv_bytes
    charged = v.layers.full + (MTP_DRAFT_LAYERS_CHARGED if mtp else 0)
    return int(full * charged + ratio * sliding * v.layers.sliding)


def pools(s: Situation, tp: int, mtp: bool) -> Pools | None:
    """The KV pools on the fullest chosen unit; None when memory is unknown or nothing is left."""
    if (tp, mtp) not in s.pools:
        s.pools[tp, mtp] = _pools(s, tp, mtp)
    return s.pools[tp, mtp]


def _pools(s: Situation, tp: int, mtp: bool) -> Pools | None:
    share = fraction(s, tp, mtp)
    free = _least_free(s, tp)
    if not s.modelled or share is None or free is None:
        return None
    weights = weight_bytes(s, tp)
    drafting = mtp and s.platform.mtp_algorithm == "NEXTN"
    draft = draft_bytes(s) if drafting else 0
    ratio = swa_ratio(s)
    kv_bytes = 1 if str(s.given("kv_cache_dtype") or "").startswith("fp8") else BF16
    cell = cell_bytes(s.variant, tp, mtp=drafting, ratio=ratio, kv_bytes=kv_bytes)
    rest = _start_mib(s, tp, free) * MIB * share.value - weights - draft
    full = pool_tokens(rest, cell)
    if s.given("max_total_tokens"):
        full = min(full, int(s.given("max_total_tokens")))
    swa = int(full * ratio)
    if swa <= s.variant.sliding_window + LARGEST_PAGE:
        return None
    return Pools(
        weights=weights,
        draft=draft,
        cell=cell,
        full_tokens=full,
        swa_tokens=swa,
        sliding_window=s.variant.sliding_window,
        max_running_requests=_max_running(s, full, drafting),
    )


def pool_tokens(rest: float, cell: int) -> int:
    """Tokens of the full pool in ``rest`` bytes at ``cell`` bytes a token, at least 0."""
    return max(0, int(rest // cell))


def swa_ratio(s: Situation) -> float:
    """Tokens of the sliding pool for one of the full pool."""
    asked = float(s.given("swa_full_tokens_ratio") or DEFAULT_SWA_RATIO)
    return asked if asked > 0 else DEFAULT_SWA_RATIO


def _least_free(s: Situation, tp: int) -> int | None:
    """Free MiB of the fullest unit that a plan with TP ``tp`` uses; None where one is unknown."""
    frees = [free_mib(unit) for unit in s.selection(tp).units]
    return None if None in frees else min(free for free in frees if free is not None)


def _start_mib(s: Situation, tp: int, free: int) -> int:
    """MiB that SGLang finds free before it loads weights, of ``free`` before it starts.

    An idle card shows a part of what the context takes as used already.
    """
    totals = [unit.memory_total_mib or 0 for unit in s.selection(tp).units]
    return max(0, min(free, min(totals) - CONTEXT_MIB // 2) - CONTEXT_MIB // 2)


def _max_running(s: Situation, full_tokens: int, drafting: bool) -> int:
    """SGLang's cap on running requests."""
    user = s.given("max_running_requests")
    if user is not None:
        return int(user)
    if drafting:
        return max(s.request.concurrency or 0, s.profiles.mtp.max_running_requests)
    return min(int(min(max(full_tokens / s.context * 512, 2048), 4096)), max(1, full_tokens // 2))
