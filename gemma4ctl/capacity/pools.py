"""SGLang's two KV pools: the bytes that a token takes, and the tokens that a budget buys.

Restated from ``HybridSWAPoolConfigurator`` (SGLang 0.5.11 to 0.5.23, pool_configurator.py): the
budget is divided by the cost of one token of the full pool and ``ratio`` tokens of the sliding
pool. Every layer is charged, those that reuse another layer's KV and the draft's too. Bytes,
tokens.
"""

from __future__ import annotations

from typing import NamedTuple

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


def works(found: Pools, window: int, page: int = 1) -> bool:
    """Whether SGLang starts with these pools: the sliding one must hold a window and a page."""
    return found.sliding > window - 1 + page
