"""One request and what came back, byte by byte, whatever client asked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gemma4ctl.verify.faults import Fault

LARGEST_EVENT = 1 << 20  # bytes; SGLang's largest are one token each
LARGEST_ANSWER = 16 << 20


@dataclass
class Exchange:
    """A request body, and its answer as far as it came.

    ``has_headers``: those of the answer are complete. ``tokens`` counts events with some.
    """

    body: Mapping[str, Any]
    began: float = field(default_factory=time.monotonic)
    raw: bytearray = field(default_factory=bytearray)
    has_headers: bool = False
    tokens: int = 0

    @property
    def seconds(self) -> float:
        """Since the request was sent."""
        return time.monotonic() - self.began

    def record(self, pieces: Iterable[bytes], limit_s: float) -> Iterator[bytes]:
        """Pass ``pieces`` on while they come in time and are not too large.

        Raises:
            Fault: "no-answer", "huge-event".
        """
        unfinished = 0
        for piece in pieces:
            self.raw += piece
            tail = piece.rpartition(b"\n")[2]
            unfinished = len(tail) if b"\n" in piece else unfinished + len(tail)
            longest = max(map(len, piece.split(b"\n")))
            if max(longest, unfinished) > LARGEST_EVENT or len(self.raw) > LARGEST_ANSWER:
                raise self.fault("huge-event", f"{len(self.raw):,} bytes and no end of it")
            if self.seconds > limit_s:
                raise self.late(limit_s)
            yield piece

    def late(self, limit_s: float) -> Fault:
        """The fault of an answer that has begun and does not end in time."""
        part = "the answer is" if self.has_headers else "the answer's headers are"
        return self.fault("no-answer", f"{part} not complete after {limit_s:g} s")

    def fault(self, code: str, message: str) -> Fault:
        """A fault that this request showed."""
        return Fault(code, message, self.body)

    def text(self) -> str:
        """The whole answer as text.

        Raises:
            Fault: "bad-utf8".
        """
        try:
            return self.raw.decode("utf-8")
        except UnicodeDecodeError as error:
            found = bytes(self.raw[error.start : error.start + 4]).hex(" ")
            raise self.fault(
                "bad-utf8", f"byte {error.start} of the answer is not UTF-8: {found}"
            ) from None
