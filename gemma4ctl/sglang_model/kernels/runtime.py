"""Whether and how the kernels run here: Triton, the accelerator, programmatic dependent launch.

Programmatic dependent launch (PDL, NVIDIA from compute capability 9.0) lets a kernel start while
its predecessor still runs; it then waits inside, after it has fetched what does not depend on
the predecessor (weights). ``GEMMA4CTL_PDL=0`` switches it off.

Two rules keep that right. Before its wait a kernel reads only what no kernel of the same forward
pass writes, and writes nothing. At least one program of every launch waits: the next launch waits
for this one alone, and takes from its end that all before it have ended too.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import Any

import torch

PDL_VARIABLE = "GEMMA4CTL_PDL"
OLDEST_TRITON = (3, 4)


def missing() -> str | None:
    """Why the kernels cannot run in this process, or None when they can."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    triton = importlib.import_module("triton")
    found = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if found < OLDEST_TRITON:
        return f"Triton {triton.__version__} is older than {'.'.join(map(str, OLDEST_TRITON))}"
    if interpreted():
        return None
    return None if torch.cuda.is_available() else "PyTorch sees no GPU"


def interpreted() -> bool:
    """Whether Triton runs its interpreter on the CPU (tests)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def need_triton() -> None:
    """Raise an ImportError that says who needs Triton, unless it can be loaded."""
    try:
        importlib.import_module("triton")
    except ImportError as error:
        raise ImportError(f"the fused kernels need Triton: {error}") from error


@cache
def architecture(index: int | None) -> str:
    """``sm_90`` for compute capability 9.0, ``rocm`` for AMD, ``cpu`` for the interpreter."""
    if interpreted() or not torch.cuda.is_available():
        return "cpu"
    if torch.version.hip:
        return "rocm"
    major, minor = torch.cuda.get_device_capability(index)
    return f"sm_{major}{minor}"


@cache
def _dependent_launch(index: int | None) -> bool:
    name = architecture(index)
    wanted = os.environ.get(PDL_VARIABLE, "1") != "0"
    return wanted and name.startswith("sm_") and int(name.removeprefix("sm_")) >= 90


def launch(x: torch.Tensor) -> dict[str, Any]:
    """Launch arguments for kernels on ``x``'s device: PDL where the device has it."""
    if _dependent_launch(x.device.index):
        return {"PDL": True, "launch_pdl": True}
    return {"PDL": False}


def power_of_two(n: int) -> int:
    """The smallest power of two that is not below ``n``."""
    return 1 << (n - 1).bit_length()
