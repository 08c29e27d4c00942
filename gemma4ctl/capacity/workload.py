"""The load that an endpoint is planned for, and what a request of it holds in the KV pools."""

from __future__ import annotations

from typing import NamedTuple

from gemma4ctl.errors import UsageError

EVICTION_INTERVAL = 128  # decoded tokens after which SGLang frees what left the window
LARGEST_NUMBER = 10**9  # of tokens, or of a weight
CHUNKS_IN_FLIGHT = 2  # a chunk being computed and the next one, with the overlap scheduler


class Share(NamedTuple):
    """Requests of ``tokens`` (prompt and answer together), as a share of all."""

    tokens: int
    share: float


class Workload(NamedTuple):
    """A mix of request lengths; shares sum to 1. ``concurrency``: how many at once, 0 unknown."""

    mix: tuple[Share, ...]
    concurrency: int = 0

    @property
    def longest(self) -> int:
        """Tokens of the longest request."""
        return max(share.tokens for share in self.mix)

    def lengths(self) -> str:
        """The lengths in words: "32,768 tokens", "90% 1,024 + 10% 32,768 tokens"."""
        parts = [f"{part.share:.0%} {part.tokens:,}" for part in self.mix]
        return (f"{self.mix[0].tokens:,}" if len(self.mix) == 1 else " + ".join(parts)) + " tokens"

    def text(self) -> str:
        """The load in words: its lengths, and how many requests at once."""
        return self.lengths() + (f", {self.concurrency} at once" if self.concurrency else "")


class Hold(NamedTuple):
    """Tokens in the two pools: of an average running request, and of the prefill in flight."""

    full: float
    sliding: float
    in_flight: int


def uniform(tokens: int, concurrency: int = 0) -> Workload:
    """Requests of one length."""
    return Workload((Share(tokens, 1.0),), concurrency)


def parse_mix(text: str, concurrency: int = 0) -> Workload:
    """A mix written as ``TOKENS[:WEIGHT],...``, such as ``1024:9,32768:1``; k means 1,024 tokens.

    Raises:
        UsageError: it is not written so, or a number is not positive or absurdly large.
    """
    try:
        parts = [part.split(":") for part in text.split(",")]
        pairs = [(_tokens(p[0]), float(p[1]) if len(p) > 1 else 1.0) for p in parts]
        if any(len(p) > 2 for p in parts):
            raise ValueError(text)
        if not all(0 < number <= LARGEST_NUMBER for pair in pairs for number in pair):
            raise ValueError(text)
        total = sum(weight for _, weight in pairs)
    except ValueError:
        raise UsageError(
            f"--request-tokens does not take {text!r}",
            needed="TOKENS or TOKENS:WEIGHT,..., such as 32k or 1k:9,32k:1",
            found=text,
            code="bad-value",
        ) from None
    return Workload(tuple(Share(tokens, weight / total) for tokens, weight in pairs), concurrency)


def _tokens(text: str) -> int:
    word = text.strip().lower()
    return int(word.removesuffix("k")) * (1024 if word.endswith("k") else 1)


def hold(load: Workload, window: int, *, chunk: int, draft_tokens: int = 1, page: int = 1) -> Hold:
    """What ``load`` holds.

    A running request keeps its whole length in the full pool. In the sliding pool it keeps the
    window, what was decoded since the last eviction, and a page. The prefill in flight keeps two
    chunks there; unchunked (``chunk`` -1), the longest prompt. From the scheduler of SGLang 0.5.16
    (schedule_policy.py, ``_swa_budget_for_req``).
    """
    kept = window + EVICTION_INTERVAL * draft_tokens + page
    full = sum(part.share * (part.tokens + page - 1) for part in load.mix)
    sliding = sum(part.share * min(part.tokens + page - 1, kept) for part in load.mix)
    in_flight = load.longest if chunk < 0 else min(CHUNKS_IN_FLIGHT * chunk, load.longest)
    return Hold(full, sliding, in_flight)
