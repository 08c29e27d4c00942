"""Waiting for what other processes and threads do, as long as a slow machine may need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 100.0  # below pytest's own limit for a test; what works takes a second

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
