"""What the variants take, for the scripts of this folder: weights, KV and the load's KV pools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from gemma4ctl.capacity import pools, stages, weights
from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.table import Variant

GIB = 1 << 30
VARIANTS: dict[str, Variant] = dict(load().variants)


class Size(NamedTuple):
    """GiB of weights and of KV pools."""

    weights: float
    pool: float


def size(variant: str, tokens: int, ratio: float = pools.DEFAULT_RATIO) -> Size:
    """A variant's weights, and the pools that hold ``tokens`` with SGLang's own layer count."""
    found = VARIANTS[variant]
    held = tokens * pools.cost(found, 1).cell(ratio) + stages.pool_overhead(found, tokens)
    return Size(weight_bytes(variant) / GIB, held / GIB)


def weight_bytes(variant: str) -> int:
    """Bytes of the bf16 weights on one GPU."""
    table = load()
    checkpoint = next(
        found for found in table.checkpoints
        if found.variant == variant and found.format == "bf16"
    )  # fmt: skip
    return weights.loaded(table.variants[variant], checkpoint, weights.Shards()).weights
