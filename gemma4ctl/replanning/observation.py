"""What was seen of an endpoint under its load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from gemma4ctl.capacity.workload import Share, Workload

# Shares of the requests, shortest first, that a mix tells apart: the long tail counts most.
PARTS = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Observation:
    """An endpoint under load. None: not seen.

    ``mix`` are lengths of prompt and answer together, ``input_tokens`` and ``output_tokens`` means.
    ``running`` is how many requests decode together, ``waiting`` how many more are in flight, on
    average; ``most_running`` is the cap on running ones. Of data-parallel servers all count.
    ``full_usage`` and ``sliding_usage`` are mean shares of the KV pools in use, ``full_tokens`` and
    ``sliding_tokens`` their sizes. ``step_s`` is the time between two tokens of a request while no
    prefill interrupts, ``prefill_s`` the time that the prefill of a mean request takes where it was
    seen apart, ``requests_s`` completed requests a second. ``arguments`` are SGLang's.
    """

    source: str
    mix: tuple[Share, ...]
    input_tokens: float
    output_tokens: float
    requests: int
    running: float | None = None
    waiting: float | None = None
    most_running: int | None = None
    full_usage: float | None = None
    sliding_usage: float | None = None
    full_tokens: int | None = None
    sliding_tokens: int | None = None
    retracted: int | None = None
    requests_s: float | None = None
    step_s: float | None = None
    prefill_s: float | None = None
    seconds: float | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def in_flight(self) -> float | None:
        """Requests that are running or waiting; None: not seen."""
        return None if self.running is None else self.running + (self.waiting or 0.0)

    @property
    def output_tok_s(self) -> float | None:
        """Output tokens a second."""
        return None if self.requests_s is None else self.requests_s * self.output_tokens

    def load(self) -> Workload:
        """The mix, with the requests in flight as its concurrency."""
        return Workload(self.mix, round(self.in_flight or 0))


def mix_of(requests: Sequence[tuple[float, float]]) -> tuple[Share, ...]:
    """A few lengths that stand for ``requests``, pairs of prompt and answer.

    They are the means of each part of ``PARTS``.

    Raises:
        ValueError: there are none.
    """
    return weighted_mix([(prompt, answer, 1.0) for prompt, answer in requests])


def weighted_mix(requests: Sequence[tuple[float, float, float]]) -> tuple[Share, ...]:
    """The same for prompt, answer and weight.

    Raises:
        ValueError: there is none with a weight.
    """
    ordered = sorted((each for each in requests if each[2] > 0), key=lambda each: each[0] + each[1])
    total = sum(weight for _, _, weight in ordered)
    if not ordered:
        raise ValueError("no lengths")
    parts: dict[int, list[tuple[float, float, float]]] = {}
    seen = 0.0
    for prompt, answer, weight in ordered:
        middle = (seen + weight / 2) / total
        part = next(place for place, end in enumerate(PARTS) if middle <= end)
        parts.setdefault(part, []).append((prompt, answer, weight))
        seen += weight
    return _merged([_share(members, total) for members in parts.values()])


def _share(members: list[tuple[float, float, float]], total: float) -> Share:
    weight = sum(weight for _, _, weight in members)
    prompt, answer = (
        max(1, round(sum(each[place] * each[2] for each in members) / weight)) for place in (0, 1)
    )
    return Share(prompt + answer, weight / total, answer)


def _merged(shares: list[Share]) -> tuple[Share, ...]:
    """``shares`` with equal lengths put together."""
    merged: dict[Share, float] = {}
    for share in shares:
        length = share._replace(share=0.0)
        merged[length] = merged.get(length, 0.0) + share.share
    return tuple(length._replace(share=share) for length, share in merged.items())


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are there."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
