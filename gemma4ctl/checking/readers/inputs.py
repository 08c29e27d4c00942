"""Loads what is to be checked: a file or standard input, within limits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from gemma4ctl.errors import UsageError

MAX_BYTES = 2 << 20  # no file that starts a server by hand is longer; bounds time and memory


class NotTextError(UsageError):
    """The file is binary, so there is nothing in it to check."""


def load(path: Path | str) -> str:
    """The text of ``path``, or of standard input for ``-``, every character as it is in the file.

    Line ends and a byte order mark are kept, so that offsets in the text are offsets in the file.

    Raises:
        NotTextError: it is not UTF-8 text.
        UsageError: it cannot be read, or is longer than :data:`MAX_BYTES`.
    """
    if str(path) == "-":
        return _text(_read(sys.stdin.buffer, "standard input"), "standard input")
    path = Path(path)
    try:
        if not path.is_file() and not path.is_fifo() and path.exists():
            raise UsageError(f"{path} is not a file.", remedies=("name the files in it",))
        with path.open("rb") as file:
            data = _read(file, str(path))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"Cannot read {path}: {reason}.", code="input-unreadable") from error
    return _text(data, str(path))


def _read(file: BinaryIO, name: str) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{name} is too large to check.",
            needed=f"at most {MAX_BYTES >> 20} MiB",
            found="more",
            remedies=("split it, or check only the part that starts SGLang",),
            code="input-too-large",
        )
    return data


def _text(data: bytes, name: str) -> str:
    if b"\0" not in data:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    raise NotTextError(
        f"{name} is not UTF-8 text; it was not checked.",
        needed="a script, a manifest, or another text file",
        found="binary data",
        code="input-binary",
    )
