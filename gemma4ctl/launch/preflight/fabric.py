"""Whether the NVSwitch fabric of this host is up."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from typing import Literal

from gemma4ctl.hardware.inventory import Unit
from gemma4ctl.launch.preflight.check import Check, fail, ok, warn

FabricState = Literal["none", "not started", "in progress", "completed", "failed", "unknown"]

_NVML_STATES: dict[int, FabricState] = {
    0: "none",
    1: "not started",
    2: "in progress",
    3: "completed",
}
_SMI_FABRIC = re.compile(r"^\s+Fabric\s*\n\s+State\s*:\s*(.+?)\s*\n\s+Status\s*:\s*(.+?)\s*$", re.M)


def fabric_states() -> list[FabricState]:
    """The fabric state of each GPU, from NVML, else from ``nvidia-smi -q``; [] when unknown."""
    try:
        return _from_nvml()
    except Exception:  # no library, no driver, or a driver that does not know the call
        return _from_smi()


def _from_nvml() -> list[FabricState]:
    import pynvml

    pynvml.nvmlInit()
    try:
        states = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            info = pynvml.nvmlDeviceGetGpuFabricInfo(pynvml.nvmlDeviceGetHandleByIndex(index))
            state = _NVML_STATES.get(info.state, "unknown")
            states.append("failed" if state == "completed" and info.status else state)
        return states
    finally:
        pynvml.nvmlShutdown()


def _from_smi() -> list[FabricState]:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-q"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_smi(answer.stdout)


def parse_smi(text: str) -> list[FabricState]:
    """The fabric states in the output of ``nvidia-smi -q``."""
    states: list[FabricState] = []
    for state, status in _SMI_FABRIC.findall(text):
        word = state.lower()
        if word == "n/a":
            states.append("none")
        elif word == "completed":
            states.append("completed" if status.lower() == "success" else "failed")
        elif word in {"in progress", "not started"}:
            states.append("in progress" if word == "in progress" else "not started")
        else:
            states.append("unknown")
    return states


def check_fabric(
    units: Sequence[Unit], *, states: Callable[[], list[FabricState]] = fabric_states
) -> Check | None:
    """GPUs behind NVSwitch can be used: the fabric manager configured them. None: no NVSwitch."""
    nvidia = [unit for unit in units if unit.vendor == "nvidia"]
    if len(nvidia) < 2:
        return None
    every = states()
    chosen = [every[unit.index] for unit in nvidia if unit.index < len(every)]
    if not chosen or all(state == "none" for state in chosen):
        return None
    name, needed = "fabric manager", "the NVSwitch fabric set up on every GPU"
    found = ", ".join(sorted(set(chosen)))
    if all(state in {"none", "completed"} for state in chosen):
        return ok(name, found, needed)
    if "unknown" in chosen:
        return warn(name, found, needed, "check `nvidia-smi -q` (Fabric) if NCCL fails")
    return fail(
        name,
        found,
        needed,
        "`systemctl start nvidia-fabricmanager` (the version of the driver); "
        "one GPU works without it: --gpus 1",
    )
