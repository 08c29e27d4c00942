"""Catch the signals that ask this process to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """While in force, stop signals are collected in ``received`` instead of ending the process.

    A signal that was ignored stays ignored (``nohup`` ignores SIGHUP). Only the main thread can
    set handlers; elsewhere this collects nothing.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._before: dict[int, signal.Handlers] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:
                    self._before[number] = before  # type: ignore[assignment]
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)

    def wait(self, seconds: float) -> None:
        """Sleep up to ``seconds``, less when a signal comes."""
        known = len(self.received)
        deadline = time.monotonic() + seconds
        while len(self.received) == known and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process through its clean-up, with 128 + their number.

    A signal that was ignored stays ignored (``nohup`` ignores SIGHUP).
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [signal.SIGTERM, signal.SIGHUP]
    before = {n: signal.signal(n, leave) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
