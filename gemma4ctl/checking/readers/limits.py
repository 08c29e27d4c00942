"""How much of one file is followed, so that no text takes long: far more than people write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gemma4ctl.errors import UsageError

MAX_LINES = 40_000  # of one file
MAX_LAUNCHES = 1_000  # in one file
MAX_WORDS = 600  # of one command
MAX_TEXT = 128 * 1024  # characters of one argument or variable, as for Linux
MAX_SCRIPTS = 256 * 1024  # characters of shell commands in one file
MAX_STEPS = 50_000  # words, variables and references to them that are followed in one file


class _Reading:
    """What the reading of one file has come to so far."""

    def __init__(self) -> None:
        self.launches = 0
        self.scripts = 0
        self.steps = 0


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def one_file(content: str) -> Iterator[None]:
    """Counts from here on what is found in one file, ``content``.

    Raises:
        UsageError: it has too many lines.
    """
    lines = max(content.count("\n"), content.count("\r"))
    if lines > MAX_LINES:
        raise _too_large(f"a file of {lines:,} lines", f"at most {MAX_LINES:,}")
    token = _reading.set(_Reading())
    try:
        yield
    finally:
        _reading.reset(token)


def launch(words: int) -> None:
    """Counts a launch of so many ``words``.

    Raises:
        UsageError: it is too long, or one too many.
    """
    if words > MAX_WORDS:
        raise _too_large(f"a command of {words:,} words", f"at most {MAX_WORDS:,}")
    reading = _reading.get() or _Reading()
    reading.launches += 1
    if reading.launches > MAX_LAUNCHES:
        raise _too_large("too many launches of SGLang", f"at most {MAX_LAUNCHES:,} in one file")


def script(length: int) -> None:
    """Counts a script of ``length`` characters.

    Raises:
        UsageError: all scripts together are too long.
    """
    reading = _reading.get() or _Reading()
    reading.scripts += length
    if reading.scripts > MAX_SCRIPTS:
        raise _too_large("too much shell text around SGLang", f"at most {MAX_SCRIPTS:,} characters")


def step(count: int = 1) -> None:
    """Counts ``count`` words or references that are followed.

    Raises:
        UsageError: they are too many.
    """
    reading = _reading.get() or _Reading()
    reading.steps += count
    if reading.steps > MAX_STEPS:
        raise _too_large("too many words and variables around SGLang", f"at most {MAX_STEPS:,}")


def text(written: str) -> None:
    """Looks at the length of what is ``written`` as one command, argument or variable.

    Raises:
        UsageError: it is longer than Linux takes.
    """
    if len(written) > MAX_TEXT:
        needed = f"at most {MAX_TEXT:,}, which is what Linux takes"
        raise _too_large(f"one text of {len(written):,} characters", needed)


def _too_large(found: str, needed: str) -> UsageError:
    return UsageError(
        f"there is {found}, which is too much to check",
        needed=needed,
        remedies=["check only the part of it that starts SGLang"],
        code="command-too-large",
    )
