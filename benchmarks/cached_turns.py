#!/usr/bin/env python3
"""Which conversations find their first turn in the radix cache: SGLang's own tree, without a GPU.

    cached_turns.py OUT --pool TOKENS --conversations N [--tokens N] [--spread N] [--chunk N]
                    [--answer N] [--window N] [--seeds N]

N conversations at once, each about a document of ``--tokens`` tokens, within ``--spread``. All
prompts are prefilled one after the other in chunks, then all are answered together; then each asks
again, in an order of chance (theirs, without a spread). The tree, its locks and its evictions
are those of the SGLang that is installed (0.5.16 and later); only the memory is counted instead of
held. OUT gets, for each seed, how many conversations found all of their first prompt.
"""

from __future__ import annotations

import argparse
import random
from array import array
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from sglang.srt.mem_cache.allocator.swa import SWATokenToKVPoolAllocator
from sglang.srt.mem_cache.base_prefix_cache import EvictParams, MatchPrefixParams
from sglang.srt.mem_cache.cache_init_params import CacheInitParams
from sglang.srt.mem_cache.common import free_swa_out_of_window_slots
from sglang.srt.mem_cache.radix_cache import RadixKey
from sglang.srt.mem_cache.unified_cache_components import ComponentType
from sglang.srt.mem_cache.unified_radix_cache import UnifiedRadixCache
from shared import write

QUESTION = 64  # tokens, of every turn
INTERVAL = 128  # decode steps between two evictions of what left the window
BOS, WORDS = 2, range(1_000, 255_000)
PLENTY = 10**9


class Counted(SWATokenToKVPoolAllocator):
    """A full pool without end, and a sliding one that counts. Every slot is used once."""

    device, page_size = torch.device("cpu"), 1

    def __init__(self, sliding: int, slots: int) -> None:
        self._left, self._next = sliding, 1
        self._held = torch.zeros(slots, dtype=torch.bool)
        self.full_attn_allocator = SimpleNamespace(free=lambda _: None)
        self.full_to_swa_index_mapping = torch.zeros(slots)

    def swa_available_size(self) -> int:
        return self._left

    def full_available_size(self) -> int:
        return PLENTY

    def alloc(self, count: int) -> torch.Tensor:
        slots = torch.arange(self._next, self._next + count)
        self._next += count
        self._left -= count
        if self._left < 0:
            raise MemoryError("the sliding pool is full of running requests")
        self._held[slots] = True
        return slots

    def free_swa(self, slots: torch.Tensor) -> None:
        self._left += int(self._held[slots].sum())
        self._held[slots] = False

    free = free_swa

    def translate_loc_from_full_to_swa(self, slots: torch.Tensor) -> torch.Tensor:
        return slots

    def set_full_to_swa_mapping(self, slots: torch.Tensor, moved: torch.Tensor) -> None:
        self._held[slots], self._held[moved] = True, False


class Table:
    """The slots of every request."""

    def __init__(self, requests: int, tokens: int) -> None:
        self.req_to_token = torch.zeros(requests, tokens, dtype=torch.int64)

    def write(self, place: Any, slots: torch.Tensor) -> None:
        self.req_to_token[place] = slots


class Server:
    """The parts of a scheduler that the tree sees."""

    def __init__(self, args: argparse.Namespace) -> None:
        longest = args.tokens + args.spread + 2 * QUESTION + args.answer
        self.window, self.chunk, self.answer = args.window - 1, args.chunk, args.answer
        self.table = Table(args.conversations, longest)
        self.memory = Counted(args.pool, 2 * args.conversations * longest + 1)
        kinds = (ComponentType.FULL, ComponentType.SWA)
        self.tree = UnifiedRadixCache(
            CacheInitParams(
                disable=False,
                req_to_token_pool=self.table,
                token_to_kv_pool_allocator=self.memory,
                page_size=1,
                sliding_window_size=self.window,
                tree_components=kinds,
            )
        )

    def turn(self, prompts: list[array[int]]) -> list[int]:
        """Answer ``prompts``; the tokens of each that were cached."""
        requests, left = [], self.chunk
        for place, prompt in enumerate(prompts):
            request = self.admitted(place, prompt)
            requests.append(request)
            while request.done < len(prompt):
                part = min(left, len(prompt) - request.done)
                self.prefill(request, part)
                left = left - part or self.chunk
        for step in range(1, self.answer + 1):
            self.make_room(len(requests))
            for request in requests:
                self.extend(request, 1)
                request.output_ids.append(WORDS.stop + step)
                if step % INTERVAL == 0:
                    self.evict_window(request)
        for request in requests:
            self.tree.cache_finished_req(request, kv_len_to_handle=request.done)
        return [request.hit for request in requests]

    def admitted(self, place: int, prompt: array[int]) -> Any:
        found = self.tree.match_prefix(MatchPrefixParams(key=RadixKey(prompt[:-1], None)))
        hit = len(found.device_indices)
        locked = self.tree.inc_lock_ref(found.last_device_node)
        self.table.req_to_token[place, :hit] = found.device_indices
        return SimpleNamespace(
            rid=str(place), req_pool_idx=place, origin_input_ids=prompt, output_ids=array("q"),
            done=hit, hit=hit, cache_protected_len=hit, prefix_indices=found.device_indices,
            last_node=found.last_device_node, swa_uuid_for_lock=locked.swa_uuid_for_lock,
            swa_prefix_lock_released=False, swa_evict_floor=0, extra_key=None, cache_salt=None,
            priority=0, session=None, mamba_pool_idx=None, skip_lock_node_ids={},
            kv=SimpleNamespace(swa_evicted_seqlen=0),
        )  # fmt: skip

    def prefill(self, request: Any, tokens: int) -> None:
        if request.done > request.hit:
            self.evict_window(request)
        self.make_room(tokens)
        self.extend(request, tokens)
        seen = request.origin_input_ids[: request.done]
        request.get_fill_ids = lambda: seen
        self.tree.cache_unfinished_req(request, chunked=len(seen) < len(request.origin_input_ids))

    def extend(self, request: Any, tokens: int) -> None:
        end = request.done + tokens
        self.table.req_to_token[request.req_pool_idx, request.done : end] = self.memory.alloc(
            tokens
        )
        request.done = end

    def make_room(self, tokens: int) -> None:
        missing = tokens - self.memory.swa_available_size()
        if missing > 0:
            self.tree.evict(EvictParams(num_tokens=0, swa_num_tokens=missing))

    def evict_window(self, request: Any) -> None:
        free_swa_out_of_window_slots(
            request,
            request.done - 1,
            sliding_window_size=self.window,
            page_size=1,
            req_to_token_pool=self.table,
            token_to_kv_pool_allocator=self.memory,
        )


def found_again(args: argparse.Namespace, seed: int) -> int:
    """Conversations whose whole first prompt is cached when they ask again."""
    chance = random.Random(seed)

    def words(count: int) -> array[int]:
        return array("q", chance.choices(WORDS, k=count))

    lengths = [
        args.tokens + chance.randint(-args.spread, args.spread) for _ in range(args.conversations)
    ]
    prompts = [array("q", [BOS]) + words(length - 1 + QUESTION) for length in lengths]
    server = Server(args)
    server.turn(prompts)
    if args.spread:
        chance.shuffle(prompts)
    hits = server.turn([prompt + words(QUESTION) for prompt in prompts])
    return sum(hit == len(prompt) for hit, prompt in zip(hits, prompts, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--pool", type=int, required=True, help="tokens of the sliding pool")
    parser.add_argument("--conversations", type=int, required=True, metavar="N")
    parser.add_argument("--tokens", type=int, default=32_768, metavar="N", help="of a document")
    parser.add_argument("--spread", type=int, default=0, metavar="N", help="tokens more or less")
    parser.add_argument("--chunk", type=int, default=8_192, metavar="N", help="of prefill")
    parser.add_argument("--answer", type=int, default=512, metavar="N", help="tokens")
    parser.add_argument("--window", type=int, default=1_024, metavar="N", help="tokens")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    args = parser.parse_args()
    found = [found_again(args, seed) for seed in range(args.seeds)]
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    write(args.out, {"sglang_version": version("sglang"), **settings, "found": found})
    print(f"{sum(found)} of {args.seeds * args.conversations} prefixes found again")


if __name__ == "__main__":
    main()
