"""The load that an endpoint is planned for, and what a request of it holds in the KV pools."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from gemma4ctl.errors import UsageError

EVICTION_INTERVAL = 128  # decode steps after which SGLang frees what left the window
LARGEST_NUMBER = 10**9  # of tokens, or of a weight
CHUNKS_IN_FLIGHT = 2  # a chunk being computed and the next one, with the overlap scheduler


class Share(NamedTuple):
    """Requests of ``tokens`` (prompt and answer together), as a share of all.

    ``answer``: how many of the tokens are answered; None: unknown.
    """

    tokens: int
    share: float
    answer: int | None = None

    def text(self) -> str:
        """The length in words: "32,768", or "32,768+512" where the answer's is known."""
        if self.answer is None:
            return f"{self.tokens:,}"
        return f"{self.tokens - self.answer:,}+{self.answer:,}"

    def argument(self) -> str:
        """The length as :func:`parse_mix` reads it."""
        return self.text().replace(",", "")


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
        parts = [f"{part.share:.0%} {part.text()}" for part in self.mix]
        return (self.mix[0].text() if len(self.mix) == 1 else " + ".join(parts)) + " tokens"

    def text(self) -> str:
        """The load in words: its lengths, and how many requests at once."""
        return self.lengths() + (f", {self.concurrency} at once" if self.concurrency else "")


class Keeping(NamedTuple):
    """How long SGLang keeps the KV of a running request in sliding layers. Tokens.

    ``locked``: of the prompt, which the radix cache keeps while the request runs; 0 without it.
    ``interval``: decoded between two evictions of what left the window.
    """

    window: int
    locked: int
    interval: int = EVICTION_INTERVAL
    page: int = 1

    @property
    def decoded(self) -> int:
        """The most that a request keeps of its answer: without radix cache, of all its tokens."""
        return self.window + self.interval

    @property
    def most(self) -> int:
        """What a request of any length keeps at its worst, with the rest of a page."""
        return self.locked + self.decoded + self.page

    def tokens(self, part: Share) -> int:
        """The most that a request of ``part`` keeps while it runs."""
        kept = self.locked + self.decoded
        if part.answer is not None and self.locked:
            kept = min(part.tokens - part.answer, self.locked) + min(part.answer, self.decoded)
        return min(part.tokens + self.page - 1, kept + self.page)


class Hold(NamedTuple):
    """Tokens in the two pools: of an average running request, and of the prefill in flight."""

    full: float
    sliding: float
    in_flight: int


def uniform(tokens: int, concurrency: int = 0) -> Workload:
    """Requests of one length."""
    return Workload((Share(tokens, 1.0),), concurrency)


def parse_mix(text: str, concurrency: int = 0) -> Workload:
    """A mix written as ``TOKENS[+ANSWER][:WEIGHT],...``, such as ``1k:9,32k:1`` or ``32k+512``.

    TOKENS are prompt and answer together, or the prompt where ANSWER is given; k means 1,024.

    Raises:
        UsageError: it is not written so, or a number is not positive or absurdly large.
    """
    try:
        shares = [_share(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--request-tokens does not take {text!r}",
            needed="TOKENS or PROMPT+ANSWER, :WEIGHT after each of several, "
            "such as 32k, 32k+512 or 1k:9,32k:1",
            found=text,
            code="bad-value",
        ) from None
    total = sum(part.share for part in shares)
    mix = tuple(part._replace(share=part.share / total) for part in shares)
    return Workload(mix, concurrency)


def _share(text: str) -> Share:
    """One length, with its weight as the share."""
    lengths, colon, weight = text.partition(":")
    parts = [_tokens(word) for word in lengths.split("+")]
    number = float(weight) if colon else 1.0
    if len(parts) > 2 or not all(0 < each <= LARGEST_NUMBER for each in (*parts, number)):
        raise ValueError(text)
    return Share(sum(parts), number, parts[1] if len(parts) > 1 else None)


def _tokens(text: str) -> int:
    word = text.strip().lower()
    return int(word.removesuffix("k")) * (1024 if word.endswith("k") else 1)


def cut_prompts(window: int, chunk: int) -> int:
    """Tokens of a prompt that stay locked beside its last window because prefill cuts prompts.

    A mean over prompts longer than the window. Prompts of p tokens are packed into prefill chunks,
    so p / chunk of them are cut. Where the rest L of one is shorter than the window, the radix
    cache locks the window before the cut and the rest: L tokens more. A cut falls anywhere, so that
    is window^2 / 2p for each cut, and window^2 / (2 chunk) for each prompt. Measured: 65 tokens
    where this gives 64 (tests/capacity/captured/12B-H200-split-prompts.json). Chunks shorter than
    the window are locked whole, half of one too many (so SGLang's own tree). Unchunked (``chunk``
    -1): none.
    """
    return ceil(min(window, chunk) ** 2 / (2 * chunk)) if chunk > 0 else 0


def hold(load: Workload, keeping: Keeping, *, chunk: int) -> Hold:
    """What ``load`` holds at its worst, with prompts that prefill cuts as on average.

    A running request keeps its whole length in the full pool. In the sliding pool it keeps the end
    of its prompt, which the radix cache locks until the request ends, and of its answer the window,
    what was decoded since the last eviction, and a page. The prefill in flight keeps two chunks
    there; unchunked (``chunk`` 0 or -1), the longest prompt. From the scheduler of SGLang 0.5.16
    (schedule_batch.py, ``maybe_evict_swa``; schedule_policy.py, ``_swa_budget_for_req``), and
    measured (tests/capacity/captured).
    """
    full = sum(part.share * (part.tokens + keeping.page - 1) for part in load.mix)
    sliding = sum(part.share * keeping.tokens(part) for part in load.mix)
    in_flight = load.longest if chunk <= 0 else min(CHUNKS_IN_FLIGHT * chunk, load.longest)
    return Hold(full, sliding, in_flight)
