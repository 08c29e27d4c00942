"""The file that keeps a server's output."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Literal, TextIO

from gemma4ctl import folders
from gemma4ctl.errors import UsageError


def log_folder(environment: Mapping[str, str]) -> Path:
    """Where logs go: ``$XDG_STATE_HOME/gemma4ctl/logs``, by default under ``~/.local/state``."""
    return folders.state(environment) / "logs"


def open_log(path: Path | None, *, port: int, environment: Mapping[str, str]) -> TextIO:
    """Open the log for writing, readable by its owner only.

    A ``path`` that was asked for is appended to; without one a new file is made, named by the time
    and port, so that no earlier log is lost.

    Raises:
        UsageError: the file or its folder cannot be written.
    """
    try:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return _open(path, "a")
        return _open_new(log_folder(environment), port)
    except OSError as error:
        place = path or log_folder(environment)
        raise UsageError(
            f"cannot write the server log {place}",
            needed="a file in a folder that you can write to",
            found=error.strerror or str(error),
            remedies=["give another file with --log-file", "set XDG_STATE_HOME to another folder"],
            code="log-unwritable",
        ) from error


def _open_new(folder: Path, port: int) -> TextIO:
    """A new file in ``folder``, named by the time, the port, and a number where that is taken."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"serve-{time.strftime('%Y%m%d-%H%M%S')}-{port}"
    path = folder / f"{name}.log"
    numbers = count(2)
    while True:
        try:
            return _open(path, "x")
        except FileExistsError:
            path = folder / f"{name}-{next(numbers)}.log"


def _open(path: Path, mode: Literal["a", "x"]) -> TextIO:
    """Open ``path``, creating it readable by its owner only."""

    def private(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    return open(path, mode, encoding="utf-8", opener=private)
