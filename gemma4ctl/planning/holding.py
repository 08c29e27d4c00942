"""What one GPU of a plan holds: weights, and KV pools that can be split anew.

Bytes and tokens of the fullest GPU.
"""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.capacity.pools import (
    DEFAULT_RATIO,
    Cost,
    Drafting,
    Pools,
    capped_pools,
    capped_tokens,
    pools,
)
from gemma4ctl.capacity.solver import LARGEST_RATIO, Held, best_ratio, held, sliding_room
from gemma4ctl.capacity.workload import Hold, Keeping, Workload, hold, uniform
from gemma4ctl.planning.chunks import Lever
from gemma4ctl.planning.fraction import Fraction


class Memory(NamedTuple):
    """What one GPU holds under a plan."""

    share: Fraction  # of ``start``, for weights and KV pools
    start: int  # free before the weights
    weights: int
    draft: int
    budget: int  # what SGLang gives the KV pools
    cost: Cost
    ratio: Lever
    chunk: Lever  # tokens of a prefill chunk
    pools: Pools
    running: int  # the cap on running requests
    cap: int | None  # the user's, or that of a draft
    keeping: Keeping
    most: int  # tokens of the full pool, --max-total-tokens; 0: no limit
    by_cap: bool  # a cap sizes the sliding pool, and no ratio
    overlap: bool  # the next batch is scheduled while one runs
    shrinks: bool  # SGLang shortens the prefill chunks of a request that nothing runs beside
    drafting: Drafting | None
    servers: int  # data-parallel ones, each with these pools
    load: Workload | None  # what the plan is tuned for

    @property
    def draft_tokens(self) -> int:
        """Tokens of a draft that are verified together; 0 without drafts."""
        return self.drafting.tokens if self.drafting else 0

    @property
    def window(self) -> int:
        """Tokens that a sliding layer sees."""
        return self.keeping.window

    @property
    def page(self) -> int:
        """Tokens of a KV page."""
        return self.keeping.page

    @property
    def full_tokens(self) -> int:
        """Tokens of the full pool, SGLang's ``max_total_num_tokens``."""
        return self.pools.full

    def hold(self, load: Workload) -> Hold:
        """What ``load`` holds in the pools."""
        return hold(load, self.keeping, chunk=int(self.chunk.value))

    def default_split(self) -> Memory:
        """The same memory with SGLang's default split and request cap."""
        found = self.split(Lever(DEFAULT_RATIO, "sglang"))
        usual = max(self.running, min(4096, max(1, found.pools.full // 2)))
        return found._replace(running=usual if self.cap is None else self.cap)

    def best_split(self, load: Workload) -> Memory:
        """The same memory with the split that holds the most of ``load``."""
        needs = self.hold(load)
        best = best_ratio(self.budget, self.cost, needs, window=self.window, page=self.page)
        if self.most:  # a larger ratio that leaves as many tokens holds no less
            kept = (self.budget / self.most - self.cost.full) / self.cost.sliding
            best = max(best, min(LARGEST_RATIO, int(kept * 1000) / 1000))
        return self.split(Lever(best, "load"))

    def split(self, ratio: Lever) -> Memory:
        """The same memory with its pools split in this ratio, or as the request cap decides."""
        if self.by_cap:
            bought = self._capped_pools()
            ratio = Lever(bought.sliding / max(1, bought.full), "cap")
            return self._replace(pools=bought, ratio=ratio)
        bought = pools(self.budget, self.cost, ratio.value, page=self.page, most=self.most)
        return self._replace(pools=bought, ratio=ratio)

    def _capped_pools(self) -> Pools:
        sliding = capped_tokens(
            self.running,
            self.window,
            chunk=int(self.chunk.value),
            page=self.page,
            drafting=self.drafting,
            overlap=self.overlap,
        )
        return capped_pools(self.budget, self.cost, sliding, page=self.page, most=self.most)

    def held(self, load: Workload) -> Held:
        """Requests of ``load`` that run at once on all servers.

        One does where nothing runs beside it, if it fits then.
        """
        if load.longest > self.full_tokens:
            return Held(0, "full pool")
        found = held(self.pools, self.hold(load), self.running)
        alone = 1 if load.longest <= self.longest_alone else 0
        return found._replace(requests=max(alone, found.requests) * self.servers)

    def sliding_holds(self, load: Workload | None, *, prefill: bool = False) -> int:
        """Requests of ``load``, or of any lengths, in the sliding pool of a server; at least 1.

        ``prefill``: beside the prefill in flight, which else waits for room.
        """
        needs = self.hold(load or uniform(self.keeping.most))
        if not prefill:
            needs = needs._replace(in_flight=0)
        return max(1, int(sliding_room(self.pools, needs)))

    @property
    def longest_alone(self) -> int:
        """Tokens of the longest request that SGLang starts at all.

        Unchunked, and in releases that do not shorten chunks, its prefill must fit in the sliding
        pool: else it waits for ever.
        """
        room, chunk = self.pools.sliding - self.page - 1, self.chunk.value
        if chunk > 0 and (self.shrinks or chunk <= room):
            return self.full_tokens
        return max(0, min(room, self.full_tokens))
