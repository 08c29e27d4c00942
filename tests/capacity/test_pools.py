"""SGLang's two KV pools."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.capacity.pools import (
    Cost,
    Drafting,
    Pools,
    capped_pools,
    capped_tokens,
    cost,
    pools,
    works,
)
from tests.planning.hosts import table

# variant -> bytes of a token at TP 1, 2, 4 and 8 with a ratio of 0.8, and what MTP adds at TP 1
CELLS = {
    "E2B": ([37_273, 37_273, 37_273, 37_273], 8_192),
    "E4B": ([86_016, 43_008, 43_008, 43_008], 16_384),
    "12B": ([278_528, 147_456, 81_920, 49_152], 8_192),
    "26B-A4B": ([184_320, 92_160, 51_200, 30_720], 16_384),
    "31B": ([737_280, 368_640, 184_320, 102_400], 32_768),
}
# Request cap, window, chunk, page, drafting, overlap, bytes, --max-total-tokens; and the two pools
# of 31B at TP 1 that the SWAChunkCapPoolConfigurator of SGLang 0.5.16 itself makes of them.
CAPPED = [
    (48, 512, 16_384, 1, (5, 1, 6), True, 93_374_183_984, 0, 137_122, 94_785),
    (1, 512, 3_000, 16, None, True, 29_799_901_732, 0, 296_880, 6_688),
    (8, 1024, 16_384, 1, None, True, 48_037_860_661, 20_001, 20_001, 20_001),
    (1, 512, 2_048, 64, (3, 4, 8), True, 16_438_157_976, 100_000, 94_848, 6_784),
    (8, 512, 2_048, 16, (5, 1, 6), False, 63_096_303_395, 100_000, 100_000, 12_560),
    (8, 1024, 8_192, 16, (5, 2, 16), False, 74_744_605_465, 0, 412_976, 33_424),
    (8, 512, 16_384, 16, (3, 1, 4), False, 20_785_302_958, 0, 3_744, 24_848),
    (48, 1024, -1, 1, (5, 1, 6), True, 97_849_309_781, 20_001, 20_001, 20_001),
    (8, 512, 16_384, 16, (3, 4, 8), True, 68_511_988_497, 0, 259_888, 47_248),
    (64, 1024, 16_384, 1, None, True, 103_913_713_357, 0, 202_867, 106_561),
    (64, 512, 2_048, 1, None, False, 109_563_901_691, 100_000, 100_000, 43_073),
]
COSTS = st.builds(Cost, st.integers(512, 10**6), st.integers(512, 10**6))
BUDGETS = st.floats(0, 2e11)
RATIOS = st.floats(1e-3, 1)
PAGES = st.sampled_from([1, 16, 64])


@pytest.mark.parametrize("variant", CELLS)
def test_bytes_of_a_token(variant: str) -> None:
    row = table().variants[variant]
    sizes, added = CELLS[variant]
    assert [int(cost(row, tp).cell(0.8)) for tp in (1, 2, 4, 8)] == sizes
    assert cost(row, 1, draft=True).full - cost(row, 1).full == added
    assert cost(row, 1, draft=True).sliding == cost(row, 1).sliding
    assert cost(row, 1, kv_bytes=1).cell(0.8) * 2 == cost(row, 1).cell(0.8)


def test_published_figures_of_31b() -> None:
    """80,349 and 361,570 tokens were measured with 55.17 GiB for the pools (H200)."""
    row = cost(table().variants["31B"], 1)
    budget = 55.17 * 2**30
    assert pools(budget, row, 0.8) == pytest.approx((80_349, 64_279), rel=0.001)
    assert pools(budget, row, 0.1) == pytest.approx((361_570, 36_157), rel=0.001)


def test_nothing_is_bought_with_nothing() -> None:
    assert pools(0, Cost(100, 100), 0.8) == pools(-5, Cost(100, 100), 0.8) == (0, 0)


def test_total_tokens_can_be_capped() -> None:
    assert pools(1e9, Cost(100, 100), 0.5, most=1_000) == (1_000, 500)
    assert pools(1e9, Cost(100, 100), 0.5, most=1_000, page=64) == (960, 448)
    assert pools(15_000, Cost(100, 100), 0.5, most=1_000) == (100, 50)


def test_the_sliding_pool_needs_a_window_and_a_page() -> None:
    assert works(Pools(9_000, 1_024 + 1), 1_024)
    assert not works(Pools(9_000, 1_024), 1_024)
    assert works(Pools(9_000, 1_024 + 64), 1_024, page=64)
    assert not works(Pools(9_000, 1_024 + 63), 1_024, page=64)


@given(BUDGETS, COSTS, RATIOS, PAGES)
def test_pools_never_exceed_the_budget(budget: float, row: Cost, ratio: float, page: int) -> None:
    found = pools(budget, row, ratio, page=page)
    assert found.full % page == found.sliding % page == 0
    assert found.sliding <= found.full * ratio
    assert found.full * row.full + found.sliding * row.sliding <= budget * (1 + 1e-9)


@given(BUDGETS, BUDGETS, COSTS, RATIOS, PAGES)
def test_a_larger_budget_never_buys_less(
    a: float, b: float, row: Cost, ratio: float, page: int
) -> None:
    less, more = sorted((a, b))
    small, large = (pools(budget, row, ratio, page=page) for budget in (less, more))
    assert small.full <= large.full and small.sliding <= large.sliding


@pytest.mark.parametrize(
    ("variant", "draft", "gain"),
    [("E2B", False, 2.33), ("E2B", True, 2.85), ("E4B", False, 1.75), ("31B", False, 1.0)],
)
def test_shared_layers_without_pools(variant: str, draft: bool, gain: float) -> None:
    """What the model module gains: layers that reuse another's KV, and drafts, are not charged."""
    row = table().variants[variant]
    stock, module = (cost(row, 1, draft=draft, shared=shared) for shared in (False, True))
    assert stock.cell(0.8) / module.cell(0.8) == pytest.approx(gain, abs=0.005)


@pytest.mark.parametrize("row", CAPPED)
def test_pools_for_a_request_cap(row: tuple[Any, ...]) -> None:
    requests, window, chunk, page, drafting, overlap, budget, most, full, sliding = row
    shape = Drafting(*drafting) if drafting else None
    tokens = capped_tokens(
        requests, window, chunk=chunk, page=page, drafting=shape, overlap=overlap
    )
    price = cost(table().variants["31B"], 1, draft=shape is not None)
    assert capped_pools(budget, price, tokens, page=page, most=most) == (full, sliding)


def test_a_sliding_pool_that_leaves_nothing_to_the_full_one() -> None:
    price = cost(table().variants["31B"], 1)
    tokens = capped_tokens(4096, 1024, chunk=8192)
    assert capped_pools(100 << 30, price, tokens) == (0, tokens)
