"""The share of GPU memory that a plan gives SGLang for weights and KV cache.

The derived share follows SGLang's ``mem_fraction_static`` heuristic (0.5.11 to 0.5.23), restated
from the published source. MiB.
"""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.planning.situation import Situation, free_mib
from gemma4ctl.profiles.table import Status, Variant

# Share of the usual reserve that a plan on a busy GPU keeps at least.
LEAST_RESERVE = 0.9

MAX_PREFILL_TOKENS = 16_384  # --max-prefill-tokens when unset: stands in for an unchunked prefill
TP_OF_LARGE_GRAPHS = 4  # from this TP on SGLang captures CUDA graphs for larger batches

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
    cell = s.cell(mtp)
    if cell and cell.mem_fraction is not None:
        reason = f"published for {s.variant_name} on {s.platform_name}"
        return Fraction(cell.mem_fraction, True, cell.status, reason, cell.source)
    plain = s.cell(False) if mtp else None
    if plain and plain.mem_fraction is not None:
        reason = f"published for {s.variant_name} on {s.platform_name}, without MTP"
        return Fraction(plain.mem_fraction, True, "estimated", reason, plain.source)
    similar = s.similar_cell(mtp) or s.similar_cell(False)
    if similar is None or similar.mem_fraction is None:
        return None
    derived = _derived(s, tp)
    if derived and derived.value < similar.mem_fraction:
        reason = f"{similar.mem_fraction:g} is published for {s.platform.like}; {derived.reason}"
        return derived._replace(reason=reason)
    reason = f"published for {s.platform.like}, which this GPU resembles"
    reason += ", without MTP" if mtp and similar.mtp is False else ""
    return Fraction(similar.mem_fraction, True, "estimated", reason, similar.source)


def _derived(s: Situation, tp: int) -> Fraction | None:
    heuristic = sglang_fraction(s, tp, multimodal=False)
    if heuristic is None:
        return None
    if s.platform.unified_memory and heuristic > UNIFIED_FRACTION:
        reason = "the GPU's memory is the host's, which must keep some"
        return Fraction(UNIFIED_FRACTION, True, "estimated", reason, "issue-34872")
    reason = "leaves what SGLang's own heuristic reserves for CUDA graphs and activations"
    return Fraction(rounded_down(heuristic), True, "estimated", reason, "wheels")


def _lowered(s: Situation, tp: int, usual: Fraction | None) -> Fraction | None:
    """``usual``, less where others hold memory, to keep what CUDA graphs and activations need.

    SGLang takes the fraction of the memory that it finds free, so the rest shrinks with it.
    """
    free, total = least_free_mib(s, tp), s.unit_mib
    if usual is None or not free or not total:
        return usual
    heuristic = sglang_fraction(s, tp, multimodal=False) or usual.value
    reserve = LEAST_RESERVE * total * (1 - max(usual.value, heuristic))
    value = max(0.01, rounded_down(1 - reserve / free))
    if value >= usual.value:
        return usual
    reason = f"lowered from {usual.value:g}: {total - free:,} MiB are not free"
    return Fraction(value, True, "estimated", reason, "detected")


def rounded_down(value: float) -> float:
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


def least_free_mib(s: Situation, tp: int) -> int | None:
    """Free MiB of the fullest unit that a plan with TP ``tp`` uses; None where one is unknown."""
    frees = [free_mib(unit) for unit in s.selection(tp).units]
    return None if None in frees else min(free for free in frees if free is not None)
