"""Ports for servers that a test starts, which nothing else on the machine is given meanwhile.

A port of the kernel's own choice, asked for and let go, may become that of another test's
connection before the server binds it. These lie below the range the kernel chooses from, and each
process of a test run has its own.
"""

from __future__ import annotations

import itertools
import os
import socket
import zlib

FIRST, SLICES, SLICE = 10_000, 40, 500  # up to 30,000: the kernel's own begin at 32,768 or later


def first_port(run: str, worker: str) -> int:
    """Where the ports of a worker (``gw1``) begin; runs side by side begin at different ones."""
    number = int(worker.removeprefix("gw") or 0)
    return FIRST + SLICE * ((zlib.crc32(run.encode()) + number) % SLICES)


_first = first_port(
    os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())),
    os.environ.get("PYTEST_XDIST_WORKER", ""),
)
_offsets = itertools.count()


def free_port(following: int = 0) -> int:
    """A port where nothing listens, nor on the ``following`` next ones; others at each call.

    Raises:
        AssertionError: there is none among those of this process.
    """
    size = following + 1
    for _ in range(SLICE):
        *_, offset = itertools.islice(_offsets, size)
        port = _first + offset % (SLICE - following)
        if all(map(_is_free, range(port, port + size))):
            return port
    raise AssertionError(f"no {size} free ports from {_first} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
