"""SGLang's two KV pools: the bytes that a token takes, and the tokens that a budget buys.

Restated from ``HybridSWAPoolConfigurator`` (SGLang 0.5.11 to 0.5.23, pool_configurator.py): the
budget is divided by the cost of one token of the full pool and ``ratio`` tokens of the sliding
pool. Every layer is charged, those that reuse another layer's KV and the draft's too. Bytes,
tokens.
"""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.capacity.workload import CHUNKS_IN_FLIGHT, EVICTION_INTERVAL
from gemma4ctl.profiles.table import Variant

BF16 = 2
DEFAULT_RATIO = 0.8  # --swa-full-tokens-ratio when unset


class Cost(NamedTuple):
    """Bytes on one rank of a token in the full pool and of a token in the sliding pool."""

    full: int
    sliding: int

    def cell(self, ratio: float) -> float:
        """Bytes of a token of the full pool with its ``ratio`` of a token of the sliding pool."""
        return self.full + ratio * self.sliding


class Pools(NamedTuple):
    """Tokens of the two pools."""

    full: int
    sliding: int


def cost(
    v: Variant, tp: int, *, draft: bool = False, kv_bytes: int = BF16, shared: bool = False
) -> Cost:
    """What a token costs at tensor parallelism ``tp``; ``kv_bytes`` is 1 for FP8 KV.

    SGLang charges every layer, and with an MTP draft its layers as full ones, although they own no
    KV. With ``shared``, as our model module sets it, only layers that write KV are charged.
    """
    full = max(1, v.kv_heads.full // tp) * 2 * v.head_dim.full * kv_bytes
    sliding = max(1, v.kv_heads.sliding // tp) * 2 * v.head_dim.sliding * kv_bytes
    if shared:
        writing = v.layers.full - v.kv_shared_layers.full
        return Cost(full * writing, sliding * (v.layers.sliding - v.kv_shared_layers.sliding))
    charged = v.draft.layers.sliding + v.draft.layers.full if draft else 0
    return Cost(full * (v.layers.full + charged), sliding * v.layers.sliding)


def pools(budget: float, cost: Cost, ratio: float, *, page: int = 1, most: int = 0) -> Pools:
    """The pools that ``budget`` bytes buy, in whole pages; ``most`` is --max-total-tokens."""
    full = max(0, int(budget // cost.cell(ratio)))
    full = (min(full, most) if most else full) // page * page
    return Pools(full, int(full * ratio) // page * page)


class Drafting(NamedTuple):
    """The shape of speculative decoding: draft steps, branches, and tokens that are verified."""

    steps: int
    topk: int
    tokens: int


def capped_tokens(
    requests: int,
    window: int,
    *,
    chunk: int,
    page: int = 1,
    drafting: Drafting | None = None,
    overlap: bool = True,
) -> int:
    """Tokens of a sliding pool that holds every request at its worst.

    Without radix cache SGLang sizes it so for an explicit request cap, and by no ratio (0.5.14 to
    0.5.23, pool_configurator.py, ``SWAChunkCapPoolConfigurator``).

    Args:
        requests: the cap.
        window: tokens that a sliding layer sees.
        chunk: tokens of a prefill chunk.
        page: tokens of a KV page.
        drafting: None without speculative decoding.
        overlap: whether the next batch is scheduled while one runs.
    """
    decode = page if drafting is None else _decode_tokens(drafting, page, overlap)
    verified = drafting.tokens if drafting else 1
    kept = window - 1 + EVICTION_INTERVAL * verified + page + decode
    return _up(requests * kept + (CHUNKS_IN_FLIGHT if overlap else 1) * chunk + page, page)


def _decode_tokens(d: Drafting, page: int, overlap: bool) -> int:
    """Tokens that are allocated for a request's next decode steps (allocation_sizing.py)."""
    tree = page > 1 and d.topk > 1
    if overlap:
        branch = _up(d.steps + page - 1, page) if tree else d.steps
        return 2 * max(branch * d.topk, d.tokens)
    branch = _up(d.steps + (page if tree else 0), page)
    return max(branch * d.topk, _up(d.tokens, page))


def _up(tokens: int, page: int) -> int:
    """``tokens`` in whole pages."""
    return -(-tokens // page) * page


def capped_pools(budget: float, cost: Cost, sliding: int, *, page: int = 1, most: int = 0) -> Pools:
    """The pools where ``sliding`` tokens are fixed and the rest of ``budget`` buys full ones.

    SGLang does not start where nothing is left for those.
    """
    full = max(0, int((budget - sliding * cost.sliding) // cost.full)) // page * page
    if 0 < most < full:
        return Pools(most // page * page, min(sliding, most))
    return Pools(full, sliding)


def works(found: Pools, window: int, page: int = 1) -> bool:
    """Whether SGLang starts with these pools: the sliding one must hold a window and a page."""
    return found.sliding > window - 1 + page
