"""How a measurement proceeds, on stderr: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from gemma4ctl.bench.record import Record
from gemma4ctl.bench.summary import Summary
from gemma4ctl.bench.workload import Workload

if TYPE_CHECKING:
    from rich.progress import Progress

LINES = 4  # of a run, where there is no bar


class Display(Protocol):
    """Where a session tells what happens."""

    def begin(self, workload: Workload, title: str) -> None:
        """A run of ``workload`` begins."""
        ...

    def done(self, record: Record) -> None:
        """A request of it has ended."""
        ...

    def end(self, summary: Summary) -> None:
        """The run has ended."""
        ...

    def say(self, message: str) -> None:
        """Show a message."""
        ...

    def close(self) -> None:
        """Stop updating; may be called more than once."""
        ...


def figures(summary: Summary) -> str:
    """The figures of a run that people look for first, on one line."""
    failed = "".join(f", {count} {kind}" for kind, count in summary.failed.items())
    return (
        f"{summary.completed} done in {summary.seconds:.1f} s{failed}; "
        f"{summary.output_throughput:,.1f} tok/s out, TTFT {summary.ttft_ms.mean:.1f} ms, "
        f"TPOT {summary.tpot_ms.mean:.2f} ms"
    )


class Lines:
    """A line when a run begins, at each quarter of it, and at its end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._requests = self._done = self._failed = 0

    def begin(self, workload: Workload, title: str) -> None:
        """Say what is asked."""
        self._requests, self._done, self._failed = workload.requests, 0, 0
        self.say(f"{title}: {workload.requests:,} requests, {workload.concurrency} at a time")

    def done(self, record: Record) -> None:
        """Count it."""
        before = LINES * self._done // self._requests
        self._done += 1
        self._failed += not record.ok
        if before < LINES * self._done // self._requests < LINES:
            failed = f", {self._failed:,} failed" if self._failed else ""
            self.say(f"  {self._done:,} of {self._requests:,}{failed}")

    def end(self, summary: Summary) -> None:
        """Say what came out."""
        self.say(f"  {figures(summary)}")

    def say(self, message: str) -> None:
        """Print ``message``; a reader that went away is no reason to stop measuring."""
        with suppress(OSError, ValueError):
            print(message, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to stop."""


class Bar:
    """A bar for the running measurement, above it a line for each finished one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._title = ""
        progress.start()

    def begin(self, workload: Workload, title: str) -> None:
        """Start a bar."""
        self._title = title
        self._task = self._progress.add_task(title, total=workload.requests)

    def done(self, record: Record) -> None:
        """Move the bar."""
        self._progress.advance(self._task)

    def end(self, summary: Summary) -> None:
        """Turn the bar into a line."""
        self._progress.remove_task(self._task)
        self.say(f"{self._title}: {figures(summary)}")

    def say(self, message: str) -> None:
        """Print ``message`` above the bar."""
        self._progress.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def display(stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> Display:
    """A display on ``stream`` (stderr): a bar on a terminal that can do it, lines elsewhere."""
    stream = stream or sys.stderr
    plain = not stream.isatty() or environment.get("TERM") in {"dumb", "unknown"}
    if plain or environment.get("NO_COLOR"):
        return Lines(stream)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(file=stream)
    return Bar(Progress(*columns, TimeElapsedColumn(), console=console, transient=True))
