"""The prompts that stock and fused servers are compared on: token ids, always the same.

Lengths are mixed: one token to several prefill chunks, on both sides of the sliding window. The
last few repeat the start of earlier ones, so that they are answered from the prefix cache.
"""

from __future__ import annotations

import random

SEED = 5
TOKENS = range(1000, 200_000)  # ordinary tokens of every Gemma 4 vocabulary
LENGTHS = (1, 2, 7, 31, 64, 127, 200, 333, 511, 512, 513, 640, 777, 1023, 1024, 1025)
LONG = (3000, 9000)  # the second is longer than a prefill chunk
SHORT_PROMPTS = 60
SHARED = 4  # prompts that share a prefix with an earlier one
CROWD = 128  # requests at once: kernels of large batches
CROWD_TOKENS = 64


def prompts(longest: int) -> list[list[int]]:
    """At least 64 prompts of at most ``longest`` tokens each."""
    source = random.Random(SEED)  # noqa: S311 - not for secrets
    lengths = [LENGTHS[number % len(LENGTHS)] for number in range(SHORT_PROMPTS)]
    made = [
        [source.choice(TOKENS) for _ in range(min(length, longest))] for length in (*lengths, *LONG)
    ]
    shared = [
        [*prompt[:-1], source.choice(TOKENS)]
        for prompt in sorted(made, key=len, reverse=True)[2 : 2 + SHARED]
    ]
    return made + shared


def crowd() -> list[list[int]]:
    """``CROWD`` short prompts, to be answered at once."""
    source = random.Random("crowd")  # noqa: S311 - not for secrets
    return [
        [source.choice(TOKENS) for _ in range(1 + number % CROWD_TOKENS)] for number in range(CROWD)
    ]
