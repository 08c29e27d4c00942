"""Writing generated files: atomically, and never over somebody else's."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gemma4ctl.errors import UsageError

_MARKER_WITHIN = 2048  # characters from the start of a file in which its marker must stand


def write_new(
    path: Path, text: str | bytes, *, marker: str, force: bool, mode: int = 0o644
) -> None:
    """Write ``text`` to ``path`` in one step: readers see the old file or the whole new one.

    An existing file is replaced only if it starts with a text that holds ``marker`` (this tool
    wrote it) or with ``force``. A symbolic link is never followed: with ``force`` the link itself
    is replaced. ``mode`` is subject to the umask.

    Raises:
        UsageError: the file is not ours, is not a regular file, or cannot be written.
    """
    _refuse(path, marker=marker, force=force)
    try:
        data = text if isinstance(text, bytes) else text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"Cannot write {path}: a path in it is not valid UTF-8.",
            remedies=("rename that file or folder",),
            code="output-encoding",
        ) from error
    with _writable(path), _temporary(path, mode) as (temporary, file):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(path)


def check_new(path: Path, *, marker: str, force: bool) -> None:
    """Refuse what :func:`write_new` would refuse, before the work whose result it is to write.

    Raises:
        UsageError: the file is not ours, is not a regular file, or cannot be written.
    """
    _refuse(path, marker=marker, force=force)
    with _writable(path), _temporary(path, 0o600):
        pass


def _refuse(path: Path, *, marker: str, force: bool) -> None:
    """Refuse to replace what is at ``path``, unless that is ours, or a file and ``force``."""
    if path.exists() and not path.is_symlink() and not path.is_file():
        raise UsageError(
            f"{path} is not a regular file.",
            remedies=("the name of a file that does not exist yet",),
            code="output-not-a-file",
        )
    if not force and not _is_ours(path, marker):
        raise UsageError(
            f"{path} exists and was not written by gemma4ctl.",
            remedies=("another file name", "--force to replace it"),
            code="output-exists",
        )


def _is_ours(path: Path, marker: str) -> bool:
    """Whether ``path`` is free, or a regular file that starts with our marker."""
    if not os.path.lexists(path):
        return True
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return marker in file.read(_MARKER_WITHIN)
    except OSError:
        return False


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Turn what the system refuses into our own error."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror}.",
            remedies=("a file name in a folder that exists and is writable",),
            code="output-unwritable",
        ) from error


@contextmanager
def _temporary(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in the folder of ``path``, which is gone afterwards unless it was renamed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield temporary, file
    finally:
        temporary.unlink(missing_ok=True)
