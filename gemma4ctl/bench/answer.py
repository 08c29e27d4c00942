"""The stream of one answer, read into the record of its request."""

from __future__ import annotations

from gemma4ctl.bench.events import DONE, Step, reader
from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.record import Failure, Record
from gemma4ctl.bench.sse import EventSplitter


class Answer:
    """Fills a record from the bytes of an answer; ``failure`` is what the server reported."""

    def __init__(self, record: Record, api: Api) -> None:
        self.failure: Failure | None = None
        self._record, self._step = record, reader(api)
        self._splitter = EventSplitter()
        self._told: int | None = None  # tokens so far, where the server says so
        self._noted = 0  # tokens of the chunks in the record

    def feed(self, received: bytes, now: float) -> bool:
        """Take what was received at ``now``; True at the end of the answer.

        Raises:
            ValueError: it is no stream of events of this API.
        """
        for data in self._splitter.feed(received):
            if data == DONE:
                return True
            step = self._step(data)
            if step.error is not None:
                self.failure = Failure("server-error", step.error)
                return True
            self._take(step, now)
        return False

    def cut(self) -> Failure:
        """The failure of a stream that ended without its end mark."""
        return Failure("truncated", f"the stream ended after {self._noted} tokens")

    def too_short(self, asked: int) -> Failure | None:
        """The failure of an answer that ended well, but before ``asked`` tokens.

        A server that does not count tokens is believed, as ``bench_serving`` does.
        """
        record = self._record
        if self._told is None:
            record.completion_tokens = asked
        if record.completion_tokens >= asked and record.times:
            return None
        return Failure("short-output", f"{self._noted} of {asked} tokens")

    def _take(self, step: Step, now: float) -> None:
        record = self._record
        if step.prompt_tokens is not None:
            record.prompt_tokens = step.prompt_tokens
        if step.cached_tokens is not None:
            record.cached_tokens = step.cached_tokens
        if step.accept_length is not None:
            record.accept_length = step.accept_length
        if step.completion_tokens is not None:
            self._told = record.completion_tokens = step.completion_tokens
        if step.has_text:
            self._note(now)

    def _note(self, now: float) -> None:
        """A chunk with text came: its tokens are those since the last one, or 1 if unknown."""
        new = 1 if self._told is None else self._told - self._noted
        if new > 0:
            self._record.times.append(now)
            self._record.tokens.append(new)
            self._noted += new
