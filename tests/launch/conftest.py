"""A fake ``sglang`` to launch, and a sink that remembers."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.launch.logs import Event
from gemma4ctl.launch.spec import LaunchSpec, Timing
from tests.ports import free_port

FAKE = Path(__file__).parent / "fake_sglang.py"
NEVER_S = 1_000.0  # a test that waits so long has failed before


class RecordingStatus:
    """Remembers what it is told, and runs what :meth:`when` was given.

    ``on_ready`` runs when the server is announced; at first it tells the server at ``port`` so.
    """

    def __init__(self, port: int) -> None:
        self.events: list[Event] = []
        self.said: list[str] = []
        self.closed = False
        self.on_ready = lambda: announce(port)
        self._awaited: dict[str, Callable[[], object]] = {}

    def when(self, text: str, act: Callable[[], object]) -> None:
        """Run ``act`` once, when a message or an event shows ``text``."""
        self._awaited[text] = act

    def event(self, event: Event) -> None:
        self.events.append(event)
        self._act(repr(event))

    def say(self, message: str) -> None:
        self.said.append(message)
        self._act(message)
        if message.startswith("ready after"):
            self.on_ready()

    def _act(self, shown: str) -> None:
        for text in [text for text in self._awaited if text in shown]:
            self._awaited.pop(text)()

    def close(self) -> None:
        self.closed = True

    @property
    def text(self) -> str:
        return "\n".join(self.said)


def announce(port: int) -> None:
    """Tell the fake server that it was announced; it ends by itself then where it is to."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/announced") as answer:
        answer.read()


@pytest.fixture
def sink(port: int) -> RecordingStatus:
    return RecordingStatus(port)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def fake(tmp_path: Path, port: int) -> Callable[..., LaunchSpec]:
    """Builds the spec of a fake server that behaves as the named modes say."""

    def build(*modes: str, **fields: Any) -> LaunchSpec:
        words = [word for mode in modes for word in ("--fake", mode)]
        extra = fields.pop("extra", ())
        return LaunchSpec(
            argv=(sys.executable, str(FAKE), "serve", "--port", str(port), *words, *extra),
            port=port,
            **{
                "log_path": tmp_path / "server.log",
                "ready_timeout_s": NEVER_S,
                "grace_s": NEVER_S,
                "timing": Timing(
                    poll_s=0.02, probe_interval_s=0.02, probe_timeout_s=30.0, reap_s=60.0
                ),
                **fields,
            },
        )

    return build


@pytest.fixture
def send() -> Callable[[signal.Signals], None]:
    """Sends this process a signal, as a user or service manager would."""
    return lambda number: os.kill(os.getpid(), number)


class Clock:
    """The supervisor's clock, which can be let run away."""

    def __init__(self) -> None:
        self._ahead_s = self._step_s = 0.0

    def monotonic(self) -> float:
        self._ahead_s += self._step_s
        return time.monotonic() + self._ahead_s

    def run_away(self) -> None:
        """From now on every limit is reached at the next look, also one that is set later."""
        self._step_s = 2 * NEVER_S


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("gemma4ctl.launch.supervise.time", made)
    return made
