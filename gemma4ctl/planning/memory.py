"""Memory of one GPU under a plan: weights, SGLang's memory fraction, and its two KV pools.

The pool sizes follow SGLang's ``HybridSWAPoolConfigurator`` (0.5.11 to 0.5.23) and the derived
fraction its ``mem_fraction_static`` heuristic; both are restated here from the published source.
Bytes unless a name says MiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles.table import Status, Variant

MIB = 1 << 20
BF16 = 2

DEFAULT_SWA_RATIO = 0.8  # --swa-full-tokens-ratio when unset
MTP_DRAFT_LAYERS_CHARGED = 4  # SGLang charges the draft's layers although they own no KV

# Measured with SGLang 0.5.16 on H100 and H200: free memory at "Load weight begin" against the
# card's total. Driver reservation, CUDA context and NCCL.
CONTEXT_MIB = 1230

# Allocator rounding and tensors made while loading, over the bytes of the checkpoint. Measured on
# H100 and H200 with 0.5.16: E2B 0.49, E4B 0.46, 26B-A4B 0.94, 31B 1.24 GB.
LOAD_OVERHEAD_SHARE = 0.02
LOAD_OVERHEAD_FLOOR = 460_000_000

# Bytes of a sharded parameter by format, scales and layers kept in bf16 included (estimates; the
# published w4a16 checkpoints have 0.68 to 0.75).
BYTES_PER_PARAMETER = {"bf16": 2.0, "fp8": 1.05, "nvfp4": 0.8, "w4a16": 0.75}


@dataclass(frozen=True)
class Fraction:
    """A memory fraction; ``value`` is what SGLang will use, ``emitted`` whether a flag says so."""

    value: float
    emitted: bool
    status: Status
    reason: str
    source: str
    origin: str = "rule"


@dataclass(frozen=True)
class Pools:
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


def fraction(s: Situation, tp: int, mtp: bool) -> Fraction:
    """The memory fraction for ``tp`` ranks: the user's, the published one, or a derived one."""
    user = s.given("mem_fraction_static")
    if user is not None:
        return Fraction(float(user), False, "estimated", "given after --", "user", "after --")
    asked = s.request.mem_fraction
    origin = s.request.origins.get("mem_fraction", "flag")
    if asked == "auto":
        value = sglang_fraction(s, tp, multimodal=True)
        reason = f"left to SGLang, which picks about {value:.3f}"
        return Fraction(value, False, "estimated", reason, "wheels", origin)
    if asked is not None:
        return Fraction(float(asked), True, "estimated", "asked for", "user", origin)
    cell, similar = s.cell(mtp), s.similar_cell(mtp)
    if cell and cell.mem_fraction is not None:
        reason = "published for this GPU"
        return Fraction(cell.mem_fraction, True, cell.status, reason, cell.source)
    if similar and similar.mem_fraction is not None:
        reason = f"published for {s.platform.like}, which it resembles"
        return Fraction(similar.mem_fraction, True, "estimated", reason, similar.source)
    value = round(sglang_fraction(s, tp, multimodal=False) - 0.005, 2)
    reason = "what SGLang's own heuristic leaves free for CUDA graphs and activations"
    return Fraction(value, True, "estimated", reason, "wheels")


def sglang_fraction(s: Situation, tp: int, *, multimodal: bool) -> float:
    """SGLang's own memory fraction; ``multimodal`` applies its further cut for vision towers."""
    size, total = s.auto_size, s.unit_mib
    if size is None or total is None:
        return 0.9
    graph_batch = size.graph_max_bs if tp < 4 else size.graph_max_bs_tp4
    reserved = 512 + 1.5 * max(size.chunked_prefill, 2048) + tp / 8 * 1024 + 2 * graph_batch
    if total > 61440:
        reserved = max(reserved, 10240)
    value = (total - reserved) / total
    if multimodal and s.variant.vision.layers:
        vision = s.variant.vision
        weight = vision.layers * vision.hidden_size**2 / (24 * 1024**2)
        value *= 0.95 * min(1.05, max(0.8, 1 - 0.1 * (weight - 1)))
    return round(value, 3)


def checkpoint_bytes(s: Situation) -> int:
    """Bytes of the checkpoint's files; estimated by format where they are not published."""
    if s.checkpoint.weight_bytes is not None:
        return s.checkpoint.weight_bytes
    replicated = replicated_parameters(s.variant)
    quantized = s.variant.parameters - replicated
    return int(replicated * BF16 + quantized * BYTES_PER_PARAMETER[s.checkpoint.format])


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
    overhead = max(LOAD_OVERHEAD_FLOOR, int(LOAD_OVERHEAD_SHARE * total / tp))
    return replicated + sharded // tp + overhead


def replicated_parameters(v: Variant) -> int:
    """Parameters that tensor parallelism does not shard."""
    embeddings = v.vocab_size * (
        v.hidden_size + (v.layers.sliding + v.layers.full) * v.per_layer_input
    )
    return embeddings + v.vision.parameters + (v.audio.parameters if v.audio else 0)


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
    """The KV pools on the fullest usable unit; None when memory is unknown or nothing is left."""
    if not s.modelled:
        return None
    weights = weight_bytes(s, tp)
    start = _free_at_start(s) * MIB
    draft = draft_bytes(s) if mtp and s.platform.mtp_algorithm == "NEXTN" else 0
    static = start * fraction(s, tp, mtp).value
    rest = static - weights - draft
    ratio = float(s.given("swa_full_tokens_ratio") or DEFAULT_SWA_RATIO)
    kv_bytes = 1 if str(s.given("kv_cache_dtype") or "").startswith("fp8") else BF16
    cell = cell_bytes(s.variant, tp, mtp=mtp, ratio=ratio, kv_bytes=kv_bytes)
    full = int(rest // cell) if rest > 0 else 0
    if s.given("max_total_tokens"):
        full = min(full, int(s.given("max_total_tokens")))
    swa = int(full * ratio)
    if swa <= s.variant.sliding_window + 64:
        return None
    return Pools(
        weights=weights,
        draft=draft,
        cell=cell,
        full_tokens=full,
        swa_tokens=swa,
        sliding_window=s.variant.sliding_window,
        max_running_requests=_max_running(s, full, mtp),
    )


def _free_at_start(s: Situation) -> int:
    """MiB that SGLang finds free before it loads weights, on the fullest usable unit."""
    frees = [
        min(unit.memory_free_mib or 0, (unit.memory_total_mib or 0) - CONTEXT_MIB // 2)
        for unit in s.group
    ]
    return max(0, min(sorted(frees, reverse=True)[: max(1, s.tp)]) - CONTEXT_MIB // 2)


def _max_running(s: Situation, full_tokens: int, mtp: bool) -> int:
    """SGLang's cap on running requests."""
    user = s.given("max_running_requests")
    if user is not None:
        return int(user)
    if mtp:
        return s.request.concurrency or s.profiles.mtp.max_running_requests
    return min(int(min(max(full_tokens / s.context * 512, 2048), 4096)), max(1, full_tokens // 2))
