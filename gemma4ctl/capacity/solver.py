"""Which split of the KV memory holds the most of a load, and which limit stops it.

With n requests at once the full pool needs n x full tokens and the sliding pool n x sliding tokens
plus the prefill in flight (:class:`~gemma4ctl.capacity.workload.Hold`). Both pools are bought from
one budget, so the best split fills both at the same n, which has a closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import ceil, floor, inf
from typing import Literal, NamedTuple

from gemma4ctl.capacity.allocator import rounded
from gemma4ctl.capacity.pools import DEFAULT_RATIO, Cost, Pools, pools, works
from gemma4ctl.capacity.workload import CHUNKS_IN_FLIGHT, Hold, Keeping, hold, uniform

DECIMALS = 7  # of a ratio, at most
LARGEST_RATIO = 1.0  # SGLang refuses more

Limit = Literal["full pool", "sliding pool", "running requests"]


class Held(NamedTuple):
    """Requests of a load that run at once, and what stops more."""

    requests: int
    limit: Limit


def held(found: Pools, hold: Hold, most: int) -> Held:
    """How many requests ``found`` runs at once; ``most`` is SGLang's cap on running requests."""
    by_full = int(found.full / hold.full + 1e-9)
    by_sliding = int(max(0.0, sliding_room(found, hold)) + 1e-9)
    count = min(by_full, by_sliding, most)
    if count == by_full:
        return Held(max(0, count), "full pool")
    return Held(max(0, count), "sliding pool" if count == by_sliding else "running requests")


def sliding_room(found: Pools, hold: Hold) -> float:
    """Requests that the sliding pool has room for; below 0 where the prefill in flight has none."""
    return (found.sliding - hold.in_flight) / hold.sliding


@lru_cache(maxsize=4096)
def best_ratio(budget: float, cost: Cost, hold: Hold, *, window: int, page: int = 1) -> float:
    """The ratio of sliding to full tokens that holds the most requests of the load.

    In (0, 1], with as few decimals as hold that many.
    """
    by_budget = (budget - cost.sliding * hold.in_flight) / (
        cost.full * hold.full + cost.sliding * hold.sliding
    )
    by_ratio = (budget / (cost.full + cost.sliding) - hold.in_flight) / hold.sliding
    for requests in range(int(min(by_budget, by_ratio)), 0, -1):  # ends early: whole pages cost few
        for ratio in _ratios(budget, cost, hold, requests, window, page):
            found = pools(budget, cost, ratio, page=page)
            if works(found, window, page) and held(found, hold, requests).requests == requests:
                return ratio
    return _for_one(budget, cost, hold, window, page)


def _for_one(budget: float, cost: Cost, hold: Hold, window: int, page: int) -> float:
    """The ratio where not even one request fits with its prefill in flight.

    The largest that leaves a full pool for one, which then runs in smaller chunks; else the one
    whose sliding pool would hold one; else the default.
    """

    def starts(ratio: float, full: float = 0) -> bool:
        found = pools(budget, cost, ratio, page=page)
        return works(found, window, page) and found.full >= full

    working = [ratio for ratio in _ratios(budget, cost, hold, 1, window, page) if starts(ratio)]
    alone = [ratio for ratio in working if starts(ratio, hold.full)]
    usual = DEFAULT_RATIO if starts(DEFAULT_RATIO) else LARGEST_RATIO
    return max(alone or working, default=usual)


def _ratios(
    budget: float, cost: Cost, hold: Hold, requests: int, window: int, page: int
) -> Iterator[float]:
    """Ratios that may hold so many requests, those of fewest decimals first.

    Each pair is the least that buys the sliding tokens and the largest that leaves the full ones.
    """
    sliding = max(requests * hold.sliding + hold.in_flight, window + page) + page
    rest = budget - cost.sliding * sliding
    least = sliding * cost.full / rest if rest > 0 else inf
    full = rounded(ceil(requests * hold.full), page)
    most = (budget / full - cost.full) / cost.sliding
    for scale in (10.0**decimals for decimals in range(2, DECIMALS + 1)):
        low = ceil(min(least, 2.0) * scale - 1e-9) / scale
        high = floor(min(most, LARGEST_RATIO) * scale + 1e-9) / scale
        yield from (ratio for ratio in (low, high) if 0 < ratio <= LARGEST_RATIO)


def longest(budget: float, cost: Cost, requests: int, keeping: Keeping, *, chunk: int) -> int:
    """Tokens of the longest requests of which ``requests`` run at once; at least 0.

    Exact but for a page: pools are whole pages, which the formula knows bounds for.
    """
    page = keeping.page

    def holds(tokens: int) -> bool:
        needs = hold(uniform(tokens), keeping, chunk=chunk)
        ratio = best_ratio(budget, cost, needs, window=keeping.window, page=page)
        return held(pools(budget, cost, ratio, page=page), needs, requests).requests == requests

    kept = requests * keeping.most
    in_flight = CHUNKS_IN_FLIGHT * chunk if chunk >= 0 else inf
    lost = 2 * page * (cost.full + cost.sliding)  # to whole pages, at most
    low, high = (
        max(0, _longest(spare, cost, requests, kept, in_flight) - (page - 1))
        for spare in (budget - lost, budget)
    )
    while high - low > page:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _longest(budget: float, cost: Cost, requests: int, kept: int, in_flight: float) -> int:
    """The same for pools of any size; ``kept`` is what they keep in sliding layers at most.

    Sliding tokens are a sum of minima, of the length times n and of a constant. What they cost is
    the least over every choice of one side, so the length is the largest over the choices.
    """
    choices = list(product(((requests, 0), (0, kept)), ((1, 0), (0, in_flight))))
    sums = [(a + b, fixed + more) for (a, fixed), (b, more) in choices]
    by_budget = max(
        (budget - cost.sliding * fixed) / (requests * cost.full + cost.sliding * each)
        for each, fixed in sums
    )
    # Where the sliding pool needs more tokens than the full one, both get as many.
    most = budget / (cost.full + cost.sliding)
    by_ratio = max((most - fixed) / each if each else _all(most >= fixed) for each, fixed in sums)
    return int(min(by_budget, by_ratio))


def _all(fits: bool) -> float:
    """Any length where the constant part ``fits``."""
    return inf if fits else 0.0
