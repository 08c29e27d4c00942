"""Say why a server failed, from its last lines and how it ended."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from gemma4ctl.launch.causes import CAUSES, Cause
from gemma4ctl.launch.logs import PHASE_TITLES, Phase

SHOWN_LINES = 12
SHOWN_WIDTH = 300

_ERROR = re.compile(
    r"\b\w*(?:Error|Exception)\b|\berror\b|[Ff]ailed|[Kk]illed|[Ff]atal|Not enough|out of memory"
)
# SGLang prints its arguments, and passes over models and processors that it cannot import.
_NO_EVIDENCE = re.compile(r"server_args=|Ignore import error|\b\w+Warning: ")
_NOISE = re.compile(r"^\s*$|^\s*File \"|^\s*[\^~]+\s*$|^\s*Traceback|\d+%\|")
_STACK_CODE = re.compile(r"^\s{4}")
_SCHEDULER_EXCEPTION = "Scheduler hit an exception"
_STAMPED = re.compile(r"\[\d{4}-\d\d-\d\d ")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:: .+)?")


@dataclass(frozen=True)
class Diagnosis:
    """Why a server failed. ``lines`` are the last ones that bear on it, oldest first."""

    code: str
    message: str
    remedy: str
    lines: tuple[str, ...]


def diagnose(
    lines: Sequence[str], *, phase: Phase = "starting", returncode: int | None = None
) -> Diagnosis:
    """Explain a failure.

    Args:
        lines: the last lines of the output, oldest first, without secrets.
        phase: what the server was doing.
        returncode: as of :class:`subprocess.Popen` (negative: killed by that signal); None when
            the server was still running, that is, when it did not become ready in time.
    """
    everything = lines
    lines = [line for line in everything if not _NO_EVIDENCE.search(line)]
    for cause in CAUSES:
        if cause.phases and phase not in cause.phases:
            continue
        match = _search(cause.pattern, lines)
        if match and (cause.also is None or _search(cause.also, everything)):
            return Diagnosis(cause.code, _message(cause, match), cause.remedy, _relevant(lines))
    code, message, remedy = _by_exception(lines, phase) or _by_ending(phase, returncode)
    return Diagnosis(code, message, remedy, _relevant(lines))


def _search(pattern: re.Pattern[str], lines: Iterable[str]) -> re.Match[str] | None:
    """The match of the first line that has one."""
    return next((match for line in lines if (match := pattern.search(line))), None)


def _message(cause: Cause, match: re.Match[str]) -> str:
    """The message with the named groups filled in; the first name stands for all alternatives."""
    groups = match.groupdict()
    first = next((value for value in groups.values() if value), "see the log")
    filled = {name: (value or first).strip()[:200] for name, value in groups.items()}
    return cause.message.format(**filled)


def _relevant(lines: Sequence[str]) -> tuple[str, ...]:
    """The last lines that speak of errors; the very last lines when none does."""
    telling = [line for line in lines if not _NOISE.search(line) and not _STACK_CODE.match(line)]
    errors = [line for line in telling if _ERROR.search(line)]
    return tuple(line[:SHOWN_WIDTH] for line in (errors or telling)[-SHOWN_LINES:])


def _by_exception(lines: Sequence[str], phase: Phase) -> tuple[str, str, str] | None:
    """Code, message and remedy when the scheduler met an exception that is no known cause.

    SGLang then ends itself, often with SIGKILL.
    """
    marks = (n for n, line in enumerate(lines) if _SCHEDULER_EXCEPTION in line)
    if (mark := next(marks, None)) is None:
        return None
    traceback = takewhile(lambda line: not _STAMPED.match(line), lines[mark + 1 :])
    raised = [line for line in traceback if _RAISED.fullmatch(line)]
    what = raised[-1][:SHOWN_WIDTH] if raised else "see the log"
    return (
        "scheduler-exception",
        f"SGLang's scheduler met an exception while {_doing(phase)}: {what}",
        "the log has its traceback; `gemma4ctl doctor` makes a report for a bug",
    )


def _doing(phase: Phase) -> str:
    """What the server was at, to go after "while"."""
    return "serving" if phase == "ready" else PHASE_TITLES[phase]


def _by_ending(phase: Phase, returncode: int | None) -> tuple[str, str, str]:
    """Code, message and remedy when no line tells the cause."""
    doing = _doing(phase)
    if returncode is None and phase == "ready":
        return (
            "unhealthy",
            "the server says that it is ready, but /health does not answer 200",
            "check the API key, --host and --port; the log shows what the server answered",
        )
    if returncode is None:
        return (
            "not-ready-in-time",
            f"the server was still {doing} when the time was up",
            "raise --ready-timeout: the first start downloads weights and compiles kernels",
        )
    if returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}:
        return (
            "killed",
            f"the server was killed (SIGKILL) while {doing}; the kernel does so when host memory "
            "runs out",
            "check `dmesg -T | grep -i oom`; add RAM or swap, or raise the container's limit",
        )
    if returncode < 0:
        name = signal.Signals(-returncode).name
        return (
            "signal",
            f"the server was ended by {name} while {doing}",
            "look at the log and at `dmesg`: kernel and driver crashes end a process like this",
        )
    return (
        "unknown",
        f"the server ended with status {returncode} while {doing}",
        "read the lines above and the log; `gemma4ctl doctor` makes a report for a bug",
    )
