"""Hold a server back until a file is there, for servers with ``GATE=PATH``.

A start of SGLang imports libraries for some 45 seconds before it touches the GPU. A server that is
started while the one before it is still measured, and held back, is ready soon after that ends.
SGLang calls :func:`install` as a plugin, in each of its processes; the one that holds the model
waits, and says so by a file beside the other, PATH.waiting.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

VARIABLE = "GATE"


def install() -> None:
    """Wait for the file that the variable names, in a process that another one has started."""
    path = os.environ.get(VARIABLE)
    if path and multiprocessing.parent_process() is not None:
        Path(f"{path}.waiting").touch()
        while not Path(path).exists():
            time.sleep(0.05)
