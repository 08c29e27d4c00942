"""One search at a time on a port, and none before the server of a killed one has ended."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gemma4ctl import folders
from gemma4ctl.errors import PreflightError

PATIENCE_S = 60.0
POLL_S = 0.2


@contextmanager
def held(path: Path, say: Callable[[str], None], patience_s: float = PATIENCE_S) -> Iterator[int]:
    """Hold the lock file ``path``; gives its descriptor, for the server's process to keep open.

    The kernel lets go of the lock when the last process that has the descriptor ends: that of a
    search that was killed, and the ``serve`` that ends its server.

    Raises:
        UsageError: the folder of ``path`` cannot be made.
        PreflightError: another search holds it, still after ``patience_s``.
    """
    folders.make(path.parent, private=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(descriptor, path, say, patience_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, say: Callable[[str], None], patience_s: float) -> None:
    deadline, said = time.monotonic() + patience_s, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise PreflightError(
                    "another search is running on this port",
                    needed="the lock of " + str(path),
                    found="it is held by another gemma4ctl tune, or by the end of its server",
                    remedies=["wait for it to end", "give this one another --port"],
                    code="search-running",
                ) from None
            if not said:
                say("waiting for an earlier search and its server to end")
                said = True
            time.sleep(POLL_S)
