"""An evaluator as a subprocess: its progress while it runs, its last lines when it has ended."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gemma4ctl.launch.processes import die_with_parent

KEPT_LINES = 400
LOG = "output.log"
_SIGNAL_MS = 200  # that a signal waits for at most, where it did not end a wait
_PATIENCE_S = 10.0  # for an interrupted evaluator to write what it has

# A progress bar of tqdm, without a name or with the task's: "gsm8k:  34%|###4  | 452/1319 [02:11"
_BAR = re.compile(r"^(?:\w+:)?\s*\d+%\|.*\| (\d+)/(\d+) \[(?:.*\bacc=([\d.]+)%)?")
# huggingface_hub repeats a request that fails; this often means that there is no network at all
_HOPELESS = re.compile(r"^Retrying in .*\[Retry [3-9]/")


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` questions; ``right`` is the share of right answers, where told."""

    done: int
    total: int
    right: float | None = None


@dataclass(frozen=True)
class Finished:
    """How an evaluator ended: its last ``lines``, and the last ``progress`` it showed.

    ``status`` is None where it was stopped because of ``stopped``.
    """

    status: int | None
    lines: tuple[str, ...]
    seconds: float
    progress: Progress | None = None
    stopped: str | None = None


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    timeout_s: float | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Finished:
    """Run ``argv`` in ``folder``, where all it prints is kept as ``output.log``.

    An interruption ends the evaluator too.

    Raises:
        OSError: it cannot be started.
    """
    began = time.monotonic()
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    progress: Progress | None = None
    stopped: str | None = None
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent(),  # safe: see its docstring
    ) as process:
        expired = threading.Event()

        def expire(process: subprocess.Popen[bytes] = process) -> None:
            expired.set()
            _kill(process)

        timer = threading.Timer(timeout_s or 0, expire)
        if timeout_s is not None:
            timer.start()
        try:
            for line in _lines(process, folder / LOG):
                bar = progress_of(line)
                if bar is not None:
                    progress = bar
                    on_progress(bar)
                    continue
                lines.append(line)
                if progress is None and _HOPELESS.match(line):
                    stopped = "the questions cannot be downloaded"
                    _kill(process)
        except BaseException:
            _interrupt(process)
            raise
        finally:
            timer.cancel()
    if expired.is_set():
        stopped = f"it took longer than {timeout_s:g} s"
    return Finished(
        None if stopped else process.returncode,
        tuple(lines),
        time.monotonic() - began,
        progress,
        stopped,
    )


def progress_of(line: str) -> Progress | None:
    """What a progress bar says; None for any other line."""
    bar = _BAR.match(line)
    if bar is None:
        return None
    right = float(bar[3]) / 100 if bar[3] else None
    return Progress(int(bar[1]), int(bar[2]), right)


def _lines(process: subprocess.Popen[bytes], log: Path) -> Iterator[str]:
    """The lines that ``process`` prints; a bar that is drawn again is a line each time."""
    assert process.stdout is not None
    rest = b""
    with log.open("wb") as file:
        for piece in _pieces(process.stdout):
            file.write(piece)
            *whole, rest = re.split(rb"[\r\n]+", rest + piece)
            yield from (line.decode("utf-8", errors="replace") for line in whole if line)
    if rest:
        yield rest.decode("utf-8", errors="replace")


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """What comes, as it comes.

    A signal just before a read that blocks is only handled after it, so no wait is without end.
    """
    ready = select.poll()
    ready.register(stream, select.POLLIN)
    while True:
        if ready.poll(_SIGNAL_MS):
            if not (piece := os.read(stream.fileno(), 1 << 16)):
                return
            yield piece


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Let the evaluator end by itself, as Ctrl-C would, then by force."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
