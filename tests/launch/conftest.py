"""A fake ``sglang`` to launch, and a sink that remembers."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.launch.logs import Event
from gemma4ctl.launch.spec import LaunchSpec, Timing

FAKE = Path(__file__).parent / "fake_sglang.py"


class RecordingStatus:
    """Remembers what it is told; ``on_ready`` runs when the server is announced."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.said: list[str] = []
        self.closed = False
        self.on_ready: Callable[[], None] | None = None

    def event(self, event: Event) -> None:
        self.events.append(event)

    def say(self, message: str) -> None:
        self.said.append(message)
        if message.startswith("ready after") and self.on_ready:
            self.on_ready()

    def close(self) -> None:
        self.closed = True

    @property
    def text(self) -> str:
        return "\n".join(self.said)


@pytest.fixture
def sink() -> RecordingStatus:
    return RecordingStatus()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
                "ready_timeout_s": 10.0,
                "grace_s": 5.0,
                "timing": Timing(
                    poll_s=0.02, probe_interval_s=0.02, probe_timeout_s=1.0, reap_s=2.0
                ),
                **fields,
            },
        )

    return build


@pytest.fixture
def send() -> Callable[..., None]:
    """Sends this process a signal after a delay, as a user or service manager would."""

    def later(number: signal.Signals, seconds: float = 0.0) -> None:
        def fire() -> None:
            time.sleep(seconds)
            os.kill(os.getpid(), number)

        threading.Thread(target=fire, daemon=True).start()

    return later
