"""Waiting for what other processes and threads do, as long as a slow machine may need.

Bounds here tell what hangs from what is slow; they say nothing about how long anything takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 100.0  # below pytest's own limit for a test; what works takes a second
SHORT_S, LONG_S = 0.8, 12.0  # limits of the code under test for a quick machine, and for any

Found = TypeVar("Found")


def wait_until(found: Callable[[], Found]) -> Found:
    """What ``found`` gives as soon as it is true.

    Raises:
        AssertionError: it is not within ``PATIENCE_S``.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


def with_a_limit(attempt: Callable[[float], None]) -> None:
    """Make an attempt that must run into a limit of ``SHORT_S``, but get to that point before.

    Where it does not get there in time, it is made once more with ``LONG_S``.
    """
    try:
        attempt(SHORT_S)
    except AssertionError:
        attempt(LONG_S)
