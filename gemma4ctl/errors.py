"""Every error a user can meet, with its exit status.

One class per documented exit code (README, "Exit codes"). Raise the narrowest one with a message
that says what is needed, what was found, and what to do next; the command line prints it on stderr.
"""

from __future__ import annotations

from collections.abc import Sequence


class Gemma4ctlError(Exception):
    """An error with an exit status and, where known, what was needed, found and can be done.

    Args:
        message: one sentence that names the problem.
        needed: what the operation needs.
        found: what was there instead.
        remedies: things to do next, best first; commands are given in full.
        code: stable machine-readable name of the error.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        needed: str | None = None,
        found: str | None = None,
        remedies: Sequence[str] = (),
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.needed = needed
        self.found = found
        self.remedies = tuple(remedies)
        self.code = code

    def __str__(self) -> str:
        lines = [self.message]
        if self.needed:
            lines.append(f"  need:  {self.needed}")
        if self.found:
            lines.append(f"  found: {self.found}")
        lines += [f"  try:   {remedy}" for remedy in self.remedies]
        return "\n".join(lines)


class UsageError(Gemma4ctlError):
    """A bad option, an unknown name, an unreadable or invalid input file."""

    exit_code = 2


class NoPlanError(Gemma4ctlError):
    """Nothing that fits or is supported; ``remedies`` holds the nearest plans that work."""

    exit_code = 3


class ProblemsFoundError(Gemma4ctlError):
    """A check or verification found problems."""

    exit_code = 4


class PreflightError(Gemma4ctlError):
    """The host is not ready to launch."""

    exit_code = 5


class ServerFailedError(Gemma4ctlError):
    """The server did not become ready; the message holds the diagnosis."""

    exit_code = 6
