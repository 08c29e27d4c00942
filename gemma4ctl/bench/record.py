"""What happened to one request."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Literal

# What can go wrong, beside "http-503" and other answers with a status that is not 200.
FailureKind = Literal[
    "connect",  # no connection, or none in time
    "timeout",  # nothing came for longer than allowed
    "disconnect",  # the connection broke
    "truncated",  # the stream ended without its end mark
    "bad-stream",  # an event that is not JSON in UTF-8, or not what the API sends
    "server-error",  # the server reported an error within the stream
    "short-output",  # fewer tokens than asked for, though told to ignore the end of the text
    "cancelled",  # stopped with the run
]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed: a ``FailureKind`` or ``http-STATUS``, and what was seen."""

    kind: str
    message: str


@dataclass(slots=True)
class Record:
    """One request of a run, with when its tokens came. Times are seconds from the run's start.

    ``times`` and ``tokens`` go together: when a chunk with text came, and how many new tokens it
    brought. ``ended`` is when the stream ended, its end mark included.
    """

    index: int
    started: float = 0.0
    ended: float = 0.0
    times: array[float] = field(default_factory=lambda: array("d"))
    tokens: array[int] = field(default_factory=lambda: array("l"))
    prompt_tokens: int | None = None  # by the server's count, images included
    cached_tokens: int | None = None
    completion_tokens: int = 0
    accept_length: float | None = None  # tokens a step with speculative decoding
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether the whole answer came."""
        return self.failure is None

    @property
    def latency(self) -> float:
        """Seconds from sending the request to the end of its answer."""
        return self.ended - self.started

    @property
    def ttft(self) -> float:
        """Seconds to the first token."""
        return (self.times[0] if self.times else self.ended) - self.started

    @property
    def tpot(self) -> float | None:
        """Seconds for each token after the first; None where there is no second one."""
        if self.completion_tokens < 2:
            return None
        return (self.latency - self.ttft) / (self.completion_tokens - 1)

    def gaps(self) -> list[float]:
        """Seconds between tokens: the gap before a chunk, in equal parts for each of its tokens."""
        found: list[float] = []
        for before, now, count in zip(self.times, self.times[1:], self.tokens[1:], strict=False):
            found += [(now - before) / count] * count
        return found
