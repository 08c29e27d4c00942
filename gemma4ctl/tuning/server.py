"""One server for one trial: ``gemma4ctl serve`` as a process of its own, and its end.

The server is started exactly as a user would start it, and ``serve`` is what ends it with all that
it started. That process gets SIGTERM from the kernel when this one dies, however it dies, and it
inherits the file whose lock says that the search is still at work.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gemma4ctl.errors import ServerFailedError
from gemma4ctl.launch.processes import die_with_parent

PROGRAM = (sys.executable, "-m", "gemma4ctl")
READY = "ready after"  # how serve says that the endpoint can be used
GRACE_S = 1  # nothing is running any more when a trial ends
END_S = 30.0  # for serve to end the server and all that it left
POLL_S = 0.1
SHOWN_LINES = 3


@dataclass(frozen=True)
class How:
    """How trials are launched: what ``serve`` is given beside the plan."""

    options: tuple[str, ...] = ()  # --runtime local, --api-key-file FILE
    environment: Mapping[str, str] | None = None
    keep_open: tuple[int, ...] = ()  # descriptors that live as long as the server


class TrialServerError(ServerFailedError):
    """The server of a trial did not start, or ended; ``code`` and ``remedies`` say why."""


class Server:
    """A server that runs while the ``with`` block does.

    Beside ``log``, the server's own output, ``.err`` is what ``serve`` said and ``.json`` its
    report.

    Args:
        plan_file: what to serve, as ``suggest -o`` writes it.
        log: where the server's output goes.
        how: how to launch.
        seconds: how long it may take to become ready.
    """

    def __init__(self, plan_file: Path, log: Path, how: How, seconds: float) -> None:
        self._said, self._report = log.with_suffix(".err"), log.with_suffix(".json")
        self._how = how
        self._command = (
            *PROGRAM,
            "serve",
            *("--plan", str(plan_file), "--json", "--log-file", str(log)),
            *("--grace", str(GRACE_S), "--ready-timeout", str(max(1, int(seconds)))),
            *how.options,
        )
        self.seconds_to_ready = 0.0

    def __enter__(self) -> Server:
        began = time.monotonic()
        with self._said.open("wb") as said, self._report.open("wb") as report:
            self._process = subprocess.Popen(
                self._command,
                env=None if self._how.environment is None else dict(self._how.environment),
                stdin=subprocess.DEVNULL,
                stdout=report,
                stderr=said,
                start_new_session=True,  # a Ctrl-C of the terminal is for the search alone
                pass_fds=self._how.keep_open,
                preexec_fn=die_with_parent(),  # safe: see its docstring
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.monotonic() - began
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def ended(self) -> bool:
        """Whether the server is no longer there."""
        return self._process.poll() is not None

    def ask_to_stop(self) -> None:
        """Have ``serve`` end the server; any thread may do so."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait until ``serve`` has ended by itself, at most so long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def stop(self) -> None:
        """End the server and everything it started."""
        if self.ended:
            return
        self.ask_to_stop()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the kernel sends the server SIGTERM then
            self._process.wait()

    def report(self) -> dict[str, Any]:
        """What ``serve`` says of a server that has ended; {} where it could not say anything."""
        try:
            found = json.loads(self._report.read_bytes())
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def failure(self) -> TrialServerError:
        """Why a server that has ended did so."""
        diagnosis = self.report().get("diagnosis") or {}
        lines = [line.strip() for line in self._lines() if line.strip()]
        message = diagnosis.get("message") or "; ".join(lines[:SHOWN_LINES]) or "serve said nothing"
        return TrialServerError(
            str(message).removeprefix("gemma4ctl: "),
            remedies=[str(diagnosis["remedy"])] if diagnosis.get("remedy") else (),
            code=str(diagnosis.get("code") or f"serve-exit-{self._process.returncode}"),
        )

    def _lines(self) -> list[str]:
        return self._said.read_text(encoding="utf-8", errors="replace").splitlines()

    def _wait_until_ready(self) -> None:
        """Wait for ``serve`` to say so.

        Raises:
            TrialServerError: it ended before.
        """
        while not any(line.startswith(READY) for line in self._lines()):
            if self.ended:
                raise self.failure()
            time.sleep(POLL_S)
