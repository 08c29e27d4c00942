"""The solver against brute force over a grid of ratios."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gemma4ctl.capacity.pools import DEFAULT_RATIO, Cost, Pools, cost, pools, works
from gemma4ctl.capacity.solver import Held, best_ratio, held, longest
from gemma4ctl.capacity.workload import Hold, Keeping, Share, Workload, hold, uniform
from tests.planning.hosts import table

GRID = [n / 400 for n in range(1, 401)] + [n / 20_000 for n in range(1, 200)]
ANY = 10**9  # requests: no cap
KEEPING = Keeping(1_024, 1_024)

LENGTHS = st.sampled_from([1, 100, 700, 1_024, 4_096, 32_768, 131_072, 262_144])
LOADS = st.lists(st.tuples(LENGTHS, st.integers(1, 20)), min_size=1, max_size=3).map(
    lambda parts: Workload(tuple(Share(n, w / sum(w for _, w in parts)) for n, w in parts))
)
COSTS = st.sampled_from(
    [
        cost(v, tp, draft=draft, kv_bytes=kv_bytes)
        for v in table().variants.values()
        for tp in (1, 2, 8)
        for draft in (False, True)
        for kv_bytes in (1, 2)
    ]
)
BUDGETS = st.floats(2e8, 1.5e11)
WINDOWS = st.sampled_from([512, 1_024])
CHUNKS = st.sampled_from([-1, 2_048, 8_192])
PAGES = st.sampled_from([1, 64])
DRAFTS = st.sampled_from([1, 6])


def solve(
    budget: float, row: Cost, hold: Hold, *, window: int, most: int, page: int = 1
) -> tuple[float, Pools, Held]:
    """The best ratio, its pools and what they hold."""
    ratio = best_ratio(budget, row, hold, window=window, page=page)
    found = pools(budget, row, ratio, page=page)
    return ratio, found, held(found, hold, most)


@settings(max_examples=150)
@given(BUDGETS, COSTS, LOADS, WINDOWS, CHUNKS, PAGES, DRAFTS)
def test_no_ratio_holds_more(
    budget: float, row: Cost, load: Workload, window: int, chunk: int, page: int, drafts: int
) -> None:
    needs = hold(load, Keeping(window, window, 128 * drafts, page), chunk=chunk)
    ratio, found, count = solve(budget, row, needs, window=window, most=ANY, page=page)
    assert 0 < ratio <= 1 and found == pools(budget, row, ratio, page=page)
    grid = [pools(budget, row, other, page=page) for other in (*GRID, DEFAULT_RATIO)]
    working = [other for other in grid if works(other, window, page)]
    assert count.requests >= max((held(other, needs, ANY).requests for other in working), default=0)
    assert works(found, window, page) or not working


@settings(max_examples=60)
@given(st.integers(300, 3_000), st.integers(1, 9), st.integers(1, 9), st.integers(1, 60))
def test_exact_on_small_grids(budget: int, full: int, sliding: int, tokens: int) -> None:
    """Every pair of pools that the budget buys, not only those of a grid of ratios."""
    row, needs = Cost(full, sliding), Hold(tokens, min(tokens, 10), min(tokens, 7))
    largest = [
        Pools(tokens, min(tokens, (budget - tokens * full) // sliding))
        for tokens in range(1, budget // full + 1)
    ]
    working = [found for found in largest if works(found, 10)]
    best = max((held(found, needs, ANY).requests for found in working), default=0)
    count = solve(budget, row, needs, window=10, most=ANY)[2]
    # SGLang rounds both pools down, which can cost a token of each.
    assert best - 1 <= count.requests <= best


@example(
    budget=825_753_600.0,
    row=Cost(8_192, 163_840),
    requests=1,
    window=512,
    chunk=2_048,
    page=64,
    drafts=1,
)  # the window and two chunks fit to the last page
@given(BUDGETS, COSTS, st.integers(1, 300), WINDOWS, CHUNKS, PAGES, DRAFTS)
def test_longest_is_held_and_little_more_is(
    budget: float, row: Cost, requests: int, window: int, chunk: int, page: int, drafts: int
) -> None:
    keeping = Keeping(window, window, 128 * drafts, page)

    def count(tokens: int) -> int:
        needs = hold(uniform(tokens), keeping, chunk=chunk)
        return solve(budget, row, needs, window=window, most=ANY, page=page)[2].requests

    tokens = longest(budget, row, requests, keeping, chunk=chunk)
    if 0 < tokens < 10**6:
        assert count(tokens) >= requests
    assert count(int(tokens * 1.02) + 4 * page + 4) < requests


def test_the_ratio_has_few_decimals() -> None:
    row = cost(table().variants["31B"], 1)
    needs = hold(uniform(32_768), KEEPING, chunk=4_096)
    assert best_ratio(63.0e9, row, needs, window=1_024) == 0.09
    short = hold(uniform(512), KEEPING, chunk=4_096)  # all of it in both pools: ratio near 1
    assert best_ratio(63.0e9, row, short, window=1_024) == 0.96


def test_a_load_that_does_not_fit_still_starts() -> None:
    row = cost(table().variants["31B"], 1)
    needs = hold(uniform(262_144), KEEPING, chunk=8_192)
    ratio, found, count = solve(15e9, row, needs, window=1_024, most=ANY)
    assert count.requests == 0 and works(found, 1_024) and ratio == DEFAULT_RATIO
    longer = solve(20e9, row, needs, window=1_024, most=ANY)
    assert longer[2].requests == 0 and longer[1].full > pools(20e9, row, DEFAULT_RATIO).full


def test_one_request_runs_in_smaller_chunks() -> None:
    """Its prefill in flight does not fit, but the full pool holds it."""
    row = cost(table().variants["31B"], 1)
    needs = hold(uniform(8_192), KEEPING, chunk=8_192)
    ratio, found, count = solve(4.8e9, row, needs, window=1_024, most=ANY)
    assert count.requests == 0 and found.full >= 8_192 and works(found, 1_024)
    assert pools(4.8e9, row, DEFAULT_RATIO).full < 8_192 and 0.6 < ratio < 0.62


def test_no_budget() -> None:
    row = cost(table().variants["31B"], 1)
    needs = hold(uniform(1_024), KEEPING, chunk=8_192)
    ratio, found, count = solve(0, row, needs, window=1_024, most=ANY)
    assert (0 < ratio <= 1, found, count.requests) == (True, (0, 0), 0)
    assert longest(0, row, 1, KEEPING, chunk=8_192) == 0


@pytest.mark.parametrize(
    ("found", "most", "expected"),
    [
        (Pools(1_000, 900), ANY, Held(10, "full pool")),
        (Pools(1_000, 250), ANY, Held(4, "sliding pool")),
        (Pools(1_000, 900), 3, Held(3, "running requests")),
        (Pools(1_000, 40), ANY, Held(0, "sliding pool")),
        (Pools(99, 99), ANY, Held(0, "full pool")),
    ],
)
def test_what_stops_more(found: Pools, most: int, expected: Held) -> None:
    assert held(found, Hold(100, 50, 50), most) == expected
