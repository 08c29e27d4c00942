"""Start a server, wait until it is ready, stop it cleanly, leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from gemma4ctl.errors import PreflightError, ServerFailedError
from gemma4ctl.launch.container import container_exists, remove_container
from gemma4ctl.launch.diagnose import Diagnosis, diagnose
from gemma4ctl.launch.health import HealthWatch
from gemma4ctl.launch.logfile import open_log
from gemma4ctl.launch.logs import Notice, Phase, PhaseStarted, Reported
from gemma4ctl.launch.model_module import module_lines, module_notices
from gemma4ctl.launch.output import ServerOutput
from gemma4ctl.launch.processes import adopting, descendants, die_with_parent, end_descendants
from gemma4ctl.launch.redact import Redactor, secrets_in
from gemma4ctl.launch.signals import StopSignals
from gemma4ctl.launch.spec import LaunchSpec
from gemma4ctl.launch.status import StatusSink

CAPACITY_TOLERANCE = 0.05  # of the planned tokens; the estimate is within 1% where it was measured

Ending = Literal["exited", "stopped", "stopped-twice", "grace-ended"]
_Waited = Literal["done", "exited", "signal", "hopeless", "timeout"]


@dataclass(frozen=True)
class Outcome:
    """How a launch went. ``status`` is the exit status for ``gemma4ctl serve``.

    ``ending``: the server ended by itself, was stopped by ``signal`` and drained, was killed at a
    second signal, or was killed when the grace period ended. ``seconds_to_ready`` is None when it
    never was ready; ``phase_seconds`` is how long each phase of the start took.
    """

    status: int
    ending: Ending
    signal: int | None
    seconds_to_ready: float | None
    phase_seconds: dict[Phase, float]
    reported: Reported
    notices: tuple[Notice, ...]
    diagnosis: Diagnosis | None
    log_path: Path


class StartFailedError(ServerFailedError):
    """The server did not become ready; ``diagnosis`` and ``outcome`` say what is known."""

    def __init__(self, diagnosis: Diagnosis, outcome: Outcome) -> None:
        shown = "".join(f"\n         {line}" for line in diagnosis.lines)
        super().__init__(
            f"the server did not become ready: {diagnosis.message}",
            found=f"the last relevant lines{shown}" if shown else "no output",
            remedies=[diagnosis.remedy, f"the whole log is {outcome.log_path}"],
            code=diagnosis.code,
        )
        self.diagnosis = diagnosis
        self.outcome = outcome


class Companion(Protocol):
    """Something that runs beside a server while it is ready. Neither call may block."""

    def begin(self) -> None:
        """The server is ready."""
        ...

    def end(self) -> None:
        """The server stops, or has ended; may be called more than once, also without a begin."""
        ...


def serve(spec: LaunchSpec, status: StatusSink, companion: Companion | None = None) -> Outcome:
    """Launch a server and stay with it until it ends.

    SIGINT, SIGTERM and SIGHUP stop it: the server gets SIGTERM, on which SGLang drains; a second
    signal, or the end of ``spec.grace_s``, kills it. Whatever happens, also an error here, no
    process of the launch is left. Until then every new child of this process counts as the
    server's, and is ended with it.

    Args:
        spec: what to launch.
        status: where to show what happens.
        companion: what to run beside the server.

    Raises:
        StartFailedError: the server ended, or time was up, before it was ready.
        PreflightError: the command cannot be executed.
        UsageError: the log cannot be written.
    """
    environment = os.environ | spec.env
    if spec.container_name:
        _refuse_other_container(spec.container_name)
    with ExitStack() as stack:
        log = stack.enter_context(open_log(spec.log_path, port=spec.port, environment=environment))
        stops = stack.enter_context(StopSignals())
        stack.enter_context(adopting())
        stack.callback(status.close)
        if companion is not None:
            stack.callback(companion.end)
        strangers = frozenset(descendants(os.getpid()))
        redact = _redactor(spec, environment)
        process = _start(spec, environment)
        assert process.stdout is not None
        output = ServerOutput(process.stdout, log, redact, status)
        stack.callback(output.finish, spec.timing.reap_s)
        stack.callback(_end, process, spec, strangers, status)
        output.start()
        status.event(PhaseStarted("starting"))
        supervision = _Supervision(spec, status, process, output, stops, Path(log.name))
        return supervision.run(companion)


def _start(spec: LaunchSpec, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, away from the terminal."""
    try:
        return subprocess.Popen(
            spec.argv,
            env=environment,
            bufsize=0,  # a read returns what there is
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # safe: see its docstring
        )
    except OSError as error:
        raise PreflightError(
            f"cannot execute {spec.argv[0]}",
            needed="an executable file",
            found=error.strerror or str(error),
            remedies=["install SGLang (`pip install sglang`), or use --runtime docker"],
            code="not-executable",
        ) from error


def _refuse_other_container(name: str) -> None:
    """Never take over a container that this launch did not start: it is removed at the end."""
    if container_exists(name):
        raise PreflightError(
            f"a container called {name} exists already",
            needed="a free container name",
            found=f"a container called {name}",
            remedies=[f"stop the server it runs, or remove it with `docker rm --force {name}`"],
            code="container-name",
        )


def _redactor(spec: LaunchSpec, environment: dict[str, str]) -> Redactor:
    given = (spec.api_key, *spec.secrets)
    secrets = [secret.get_secret_value() for secret in given if secret]
    return Redactor([*secrets, *secrets_in(environment)])


def _end(
    process: subprocess.Popen[bytes],
    spec: LaunchSpec,
    strangers: frozenset[int],
    status: StatusSink,
) -> None:
    """Kill what is left of the launch: the process group, stray descendants, the container."""
    if spec.container_name:
        remove_container(spec.container_name)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    alive = end_descendants(without=strangers, timeout_s=spec.timing.reap_s)
    if alive:
        pids = ", ".join(map(str, alive))
        status.say(f"warning: these processes of the server could not be killed: {pids}")


class _Supervision:
    """One running server and what is known about it."""

    def __init__(
        self,
        spec: LaunchSpec,
        status: StatusSink,
        process: subprocess.Popen[bytes],
        output: ServerOutput,
        stops: StopSignals,
        log_path: Path,
    ) -> None:
        self._spec, self._status, self._process = spec, status, process
        self._output, self._stops, self._log_path = output, stops, log_path
        self._began = time.monotonic()
        self._seconds_to_ready: float | None = None
        self._notices: tuple[Notice, ...] = ()  # those that are not in the log

    def run(self, companion: Companion | None) -> Outcome:
        """Wait for readiness, then for the end."""
        waited = self._wait_until_ready()
        if waited == "done":
            self._seconds_to_ready = time.monotonic() - self._began
            self._announce()
            if companion is not None:
                companion.begin()
            waited = self._wait(lambda: False, seconds=None)
            if companion is not None:
                companion.end()
        if waited == "signal":
            return self._stop()
        if self._seconds_to_ready is None or waited == "hopeless":
            raise self._start_failed()
        return self._ended_by_itself()

    def _wait_until_ready(self) -> _Waited:
        """Wait for the log to say so and then for ``/health``, which costs a generated token."""
        deadline = self._began + self._spec.ready_timeout_s
        if self._spec.logs_readiness:
            waited = self._wait(self._output.ready.is_set, self._spec.ready_timeout_s)
            if waited != "done":
                return waited
        key, timing = self._spec.api_key, self._spec.timing
        watch = HealthWatch(
            self._spec.url,
            api_key=key.get_secret_value() if key else None,
            interval_s=timing.probe_interval_s,
            timeout_s=timing.probe_timeout_s,
        )
        watch.start()
        try:
            return self._wait(watch.passed.is_set, deadline - time.monotonic())
        finally:
            watch.stop()

    def _wait(self, done: Callable[[], bool], seconds: float | None) -> _Waited:
        """Wait for a stop signal, the server's end or surrender, ``done``, or ``seconds``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            if self._stops.received:
                return "signal"
            if self._process.poll() is not None:
                return "exited"
            if self._output.hopeless.is_set():
                return "hopeless"
            if done():
                return "done"
            if deadline is not None and time.monotonic() > deadline:
                return "timeout"
            self._stops.wait(self._spec.timing.poll_s)

    def _stop(self) -> Outcome:
        """Ask the server to drain, and give it the grace period."""
        number = self._stops.received[0]
        self._status.say(
            f"stopping on {signal.Signals(number).name}: the server finishes running requests "
            f"(up to {self._spec.grace_s:.0f} s; a second signal ends it at once)"
        )
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._spec.grace_s
        while self._process.poll() is None:
            if len(self._stops.received) > 1:
                return self._outcome(128 + number, "stopped-twice", number)
            if time.monotonic() > deadline:
                self._status.say("the grace period is over: the server is killed")
                return self._outcome(128 + signal.SIGKILL, "grace-ended", number)
            self._stops.wait(self._spec.timing.poll_s)
        return self._outcome(128 + number, "stopped", number)

    def _ended_by_itself(self) -> Outcome:
        """The server was ready and ended without being asked here."""
        code = self._process.returncode
        diagnosis = self._diagnose(code) if code else None
        outcome = self._outcome(code if code >= 0 else 128 - code, "exited", None, diagnosis)
        self._status.say(f"the server ended with status {outcome.status}")
        if diagnosis:
            self._status.say(f"{diagnosis.message}\n  try: {diagnosis.remedy}")
        return outcome

    def _start_failed(self) -> StartFailedError:
        diagnosis = self._diagnose(self._process.returncode)
        outcome = self._outcome(ServerFailedError.exit_code, "exited", None, diagnosis)
        return StartFailedError(diagnosis, outcome)

    def _diagnose(self, returncode: int | None) -> Diagnosis:
        if returncode is not None:
            self._output.finish(self._spec.timing.reap_s / 5)  # the last lines are in the pipe
        return diagnose(
            tuple(self._output.tail), phase=self._output.parser.phase, returncode=returncode
        )

    def _outcome(
        self, status: int, ending: Ending, number: int | None, diagnosis: Diagnosis | None = None
    ) -> Outcome:
        parser = self._output.parser
        return Outcome(
            status=status,
            ending=ending,
            signal=number,
            seconds_to_ready=self._seconds_to_ready,
            phase_seconds=dict(parser.durations),
            reported=parser.reported,
            notices=(*self._notices, *parser.notices),
            diagnosis=diagnosis,
            log_path=self._log_path,
        )

    def _announce(self) -> None:
        """Print the endpoint and what it can hold, and warn when that was not planned."""
        reported = self._output.parser.reported
        seconds = self._seconds_to_ready or 0.0
        self._status.say(ready_text(self._spec, reported, seconds=seconds, log_path=self._log_path))
        planned = self._spec.predicted_full_layer_tokens
        notice = capacity_notice(reported.full_layer_tokens, planned)
        self._notices = (*module_notices(self._spec, reported), *([notice] if notice else []))
        for found in self._notices:
            self._status.event(found)


def capacity_notice(actual: int | None, planned: int | None) -> Notice | None:
    """A notice when the KV pool differs from the plan by more than ``CAPACITY_TOLERANCE``.

    Args:
        actual: tokens of the full-attention pool as the server reported them; None: unknown.
        planned: the same as the plan expected them.
    """
    if not actual or not planned or abs(actual - planned) <= CAPACITY_TOLERANCE * planned:
        return None
    share = abs(actual - planned) / planned
    if actual < planned:
        comparison = "less"
        remedy = (
            "stop other processes on the GPU (`gemma4ctl detect` names them) and start again, "
            "or lower --concurrency or --context-length to what fits"
        )
    else:
        comparison = "more"
        remedy = "nothing is wrong; `gemma4ctl doctor` makes a report that improves the estimate"
    message = (
        f"the KV cache holds {actual:,} tokens, {share:.0%} {comparison} than the planned "
        f"{planned:,}"
    )
    return Notice("capacity_differs", message, remedy)


def ready_text(spec: LaunchSpec, reported: Reported, *, seconds: float, log_path: Path) -> str:
    """The lines shown when a server is ready: endpoint, actual capacity, log."""
    lines = [f"ready after {seconds:.0f} s: {spec.url}/v1", *module_lines(reported)]
    if reported.full_layer_tokens is not None:
        planned = spec.predicted_full_layer_tokens
        compared = f" (planned {planned:,})" if planned else ""
        sliding = reported.swa_layer_tokens or 0
        lines.append(
            f"  KV cache: {reported.full_layer_tokens:,} tokens{compared}, "
            f"{sliding:,} in the sliding window"
        )
    if reported.max_running_requests is not None and reported.context_len is not None:
        lines.append(
            f"  limits:   {reported.max_running_requests:,} running requests, "
            f"{reported.context_len:,} tokens of context"
        )
    return "\n".join([*lines, f"  log:      {log_path}"])
