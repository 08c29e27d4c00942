"""Work measured so that no machine, however slow or busy, changes what a test finds.

What Python code does is counted: the calls of functions are the same on every machine. Work within
one call, of a regular expression or a parser in C, can only be timed: there a bound is many times
what a slow machine needs, and far below what work that does not end in reasonable time takes.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

HUNG_S = 60.0  # of a processor; what may take so long in a test takes a second or two
SOON_S = 1.0  # the same for a fifth of a second


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, ``work`` calls in this thread.

    Garbage is collected before and after: what that calls depends on other tests.
    """
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    return count


def cpu_seconds(work: Callable[[], object]) -> float:
    """How long the processors of this process are busy with ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def linear(work: Callable[[int], object], size: int) -> bool:
    """Whether ``work(size)`` takes about 8 times as long as an eighth of it, or is over soon.

    Five times that may come from a busy machine; where time grows with the square, it is 8 times.
    """
    short, long = (cpu_seconds(lambda part=part: work(part)) for part in (size // 8, size))
    return long < max(5 * 8 * short, SOON_S)
