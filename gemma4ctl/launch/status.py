"""Show how a start proceeds, on stderr: one line a phase, and a live line on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from gemma4ctl.launch.logs import (
    PHASE_TITLES,
    Event,
    Notice,
    Phase,
    PhaseEnded,
    PhaseStarted,
    Progress,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live


class StatusSink(Protocol):
    """Where the supervisor tells what happens. Calls come from one thread at a time."""

    def event(self, event: Event) -> None:
        """Take what a log line meant."""
        ...

    def say(self, message: str) -> None:
        """Show a message (one or more lines)."""
        ...

    def close(self) -> None:
        """Stop updating; may be called more than once."""
        ...


def notice_text(notice: Notice) -> str:
    """A notice as two lines: what happens, and what to do."""
    return f"warning: {notice.message} [{notice.code}]\n  try: {notice.remedy}"


def ended_text(ended: PhaseEnded) -> str:
    """A finished phase as one line: title, seconds, figures."""
    figures = f"  {ended.summary}" if ended.summary else ""
    return f"  {PHASE_TITLES[ended.phase]:<24}{ended.seconds:7.1f} s{figures}"


class PlainStatus:
    """One line for each finished phase, notice and message: for files, pipes and dumb terminals."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def event(self, event: Event) -> None:
        """Print finished phases and notices."""
        if isinstance(event, PhaseEnded):
            self.say(ended_text(event))
        elif isinstance(event, Notice):
            self.say(notice_text(event))

    def say(self, message: str) -> None:
        """Print ``message``; a reader that went away is no reason to stop serving."""
        with suppress(OSError, ValueError):
            print(message, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to stop."""


class LiveStatus:
    """The same lines, with the current phase and its elapsed time below them, on a terminal."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = self._phase_began = clock()
        self._phase: Phase = "starting"
        self._steps = ""
        self._live: Live | None = None

    def event(self, event: Event) -> None:
        """Print finished phases and notices; move the live line on."""
        if isinstance(event, PhaseStarted):
            self._phase, self._steps, self._phase_began = event.phase, "", self._clock()
        elif isinstance(event, Progress):
            self._steps = f" {event.done}/{event.total}"
        elif isinstance(event, PhaseEnded):
            self._print(ended_text(event), "green")
        elif isinstance(event, Notice):
            self._print(notice_text(event), "yellow")
        self._show(serving=self._phase == "ready")

    def say(self, message: str) -> None:
        """Print ``message`` above the live line."""
        self._print(message, "")

    def close(self) -> None:
        """Take the live line away."""
        self._show(serving=True)

    def line(self) -> str:
        """The live line: phase, steps, seconds in the phase, seconds in all."""
        now = self._clock()
        return (
            f"{PHASE_TITLES[self._phase]}{self._steps}  "
            f"{now - self._phase_began:.0f} s, {now - self._began:.0f} s in all"
        )

    def _print(self, text: str, style: str) -> None:
        with suppress(OSError, ValueError):
            self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def _show(self, *, serving: bool) -> None:
        """Have a live line while the server starts, and none while it serves."""
        with suppress(OSError, ValueError):
            if serving and self._live:
                self._live.stop()
                self._live = None
            elif not serving and not self._live:
                self._live = self._new_live()

    def _new_live(self) -> Live:
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.text import Text

        spinner = Spinner("dots")

        def render() -> RenderableType:
            spinner.update(text=Text(self.line()))
            return spinner

        live = Live(
            console=self._console, get_renderable=render, transient=True, refresh_per_second=4
        )
        live.start()
        return live


def status_sink(
    stream: TextIO | None = None, environment: Mapping[str, str] = os.environ
) -> StatusSink:
    """A sink for ``stream`` (stderr): live on a terminal that can do it, plain elsewhere."""
    stream = stream or sys.stderr
    plain = not stream.isatty() or environment.get("TERM") in {"dumb", "unknown"}
    if plain or environment.get("NO_COLOR"):
        return PlainStatus(stream)
    return LiveStatus(_console(stream))


def _console(stream: TextIO) -> Console:
    """A console that goes quiet when its reader is gone; rich itself would end the process."""
    from rich.console import Console

    class PatientConsole(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True

    return PatientConsole(file=stream)
