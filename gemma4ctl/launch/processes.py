"""Find and end every process that a server started, wherever it went (Linux).

A server's workers may leave its process group (``setsid``) or lose their parent. While
:func:`adopting` is in force, an orphan becomes a child of this process instead of init's, so all
that a launch started are descendants of this process until they are dead.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37

_PROC = Path("/proc")


def _libc() -> ctypes.CDLL | None:
    """The C library where it has ``prctl``, else None."""
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@contextmanager
def adopting() -> Iterator[None]:
    """Make this process the parent of orphaned descendants for the duration."""
    libc = _libc()
    before = ctypes.c_int(0)
    if libc:
        libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        if libc:
            libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def die_with_parent() -> Callable[[], None]:
    """A function for a child to call before ``exec``: SIGTERM when this process dies.

    SIGTERM and not SIGKILL, so that the server drains and ends its own workers. The function only
    makes one C call, without imports or locks, and is used before this process starts threads: that
    is what makes running it between fork and exec safe. The kernel sends the signal when the
    *thread* that forked ends, so the child must be started from the main thread.
    """
    libc, parent, terminate = _libc(), os.getpid(), int(signal.SIGTERM)

    def arrange() -> None:  # pragma: no cover - runs in the child
        if libc:
            libc.prctl(_PR_SET_PDEATHSIG, terminate, 0, 0, 0)
            if os.getppid() != parent:  # it died before the call
                os._exit(128 + terminate)

    return arrange


def _parents() -> dict[int, tuple[int, str]]:
    """Every process: its parent and its state letter (``Z``: dead, not yet reaped)."""
    found = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            state, parent, *_ = stat.read_text("latin-1").rpartition(")")[2].split()
            found[int(stat.parent.name)] = (int(parent), state)
    return found


def descendants(pid: int, *, without: frozenset[int] = frozenset()) -> dict[int, str]:
    """The processes below ``pid`` with their state letters, but for the trees of ``without``."""
    children: dict[int, list[int]] = defaultdict(list)
    parents = _parents()
    for child, (parent, _) in parents.items():
        children[parent].append(child)
    found: dict[int, str] = {}
    pending = [pid]
    while pending:
        fresh = [c for c in children[pending.pop()] if c not in without and c not in found]
        found |= {child: parents[child][1] for child in fresh}
        pending += fresh
    return found


def end_descendants(*, without: frozenset[int], timeout_s: float) -> tuple[int, ...]:
    """Kill all descendants of this process outside the trees of ``without``, and reap the dead.

    Returns:
        The pids that did not die in time (stuck in the kernel), sorted.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        left = descendants(os.getpid(), without=without)
        for pid, state in left.items():
            with suppress(OSError):
                if state == "Z":
                    os.waitpid(pid, os.WNOHANG)
                else:
                    os.kill(pid, signal.SIGKILL)
        alive = tuple(sorted(pid for pid, state in left.items() if state != "Z"))
        if not left or time.monotonic() > deadline:
            return alive
        time.sleep(0.02)
