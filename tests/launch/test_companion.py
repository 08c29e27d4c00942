"""What runs beside a server begins when it is ready and ends before it is stopped."""

from __future__ import annotations

import signal

import pytest

from gemma4ctl.launch.supervise import StartFailedError, serve


class Companion:
    """Remembers when it was called."""

    def __init__(self, sink, on_begin=lambda: None) -> None:
        self.calls: list[str] = []
        self._sink, self._on_begin = sink, on_begin

    def begin(self) -> None:
        assert any(text.startswith("ready after") for text in self._sink.said)
        self.calls.append("begin")
        self._on_begin()

    def end(self) -> None:
        assert not any(text.startswith("stopping on") for text in self._sink.said) or (
            "end" in self.calls
        )
        self.calls.append("end")


def test_it_begins_when_the_server_is_ready_and_ends_before_it_drains(fake, sink, send) -> None:
    companion = Companion(sink, lambda: send(signal.SIGTERM))
    outcome = serve(fake(), sink, companion)
    assert (outcome.status, outcome.ending) == (143, "stopped")
    assert companion.calls[:2] == ["begin", "end"]


def test_it_does_not_begin_beside_a_server_that_does_not_start(fake, sink) -> None:
    companion = Companion(sink)
    with pytest.raises(StartFailedError):
        serve(fake("out-of-memory"), sink, companion)
    assert companion.calls == ["end"]
