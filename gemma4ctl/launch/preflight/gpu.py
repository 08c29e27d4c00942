"""Checks of the GPUs: health, free memory, driver."""

from __future__ import annotations

from gemma4ctl.hardware.inventory import Inventory, Unit
from gemma4ctl.launch.preflight.check import Check, fail, gib, ok, warn
from gemma4ctl.launch.preflight.needs import Needs

# The first driver branch of each CUDA major.
DRIVERS = {11: 450, 12: 525, 13: 580}


def check_health(unit: Unit) -> Check:
    """The GPU works."""
    name, needed = f"GPU {unit.index} health", "a working GPU"
    found = ", ".join((unit.health.status, *unit.health.reasons))
    if unit.health.status in {"ok", "unknown"}:
        return ok(name, found, needed)
    if unit.health.status == "degraded":
        return warn(name, found, needed, "choose another GPU with --gpus, or reset this one")
    return fail(name, found, needed, "choose other GPUs with --gpus; `dmesg` shows Xid errors")


def check_memory(unit: Unit, needs: Needs, inventory: Inventory) -> Check:
    """The GPU has the free memory that the plan counts on; its users are named."""
    name, free = f"GPU {unit.index} memory", unit.memory_free_mib
    if needs.minimum_mib is None or free is None:
        return ok(name, "unknown" if free is None else f"{gib(free)} free", "no known limit")
    found = f"{gib(free)} free{_users(unit, inventory)}"
    least = f"{gib(needs.minimum_mib)} free for weights and working memory"
    if free < needs.minimum_mib:
        return fail(
            name,
            found,
            least,
            "stop the other processes, choose an idle GPU with --gpus, or a smaller checkpoint",
        )
    if needs.planned_mib is not None and free < needs.planned_mib:
        return warn(
            name,
            found,
            f"{gib(needs.planned_mib)} free for the planned KV cache",
            "it will start with a smaller KV cache; stop the other processes for the planned one",
        )
    return ok(name, found, least)


def _users(unit: Unit, inventory: Inventory) -> str:
    """The processes that hold memory of the GPU, for the reader."""
    processes = [
        process
        for device in inventory.devices
        if device.index == unit.index
        for process in device.processes
    ]
    named = [
        f"{process.name or 'process'} (pid {process.pid}"
        + (f", {gib(process.memory_mib)})" if process.memory_mib is not None else ")")
        for process in processes[:4]
    ]
    more = [f"{len(processes) - 4} more"] if len(processes) > 4 else []
    return f"; used by {', '.join(named + more)}" if processes else ""


def check_driver(needs: Needs, inventory: Inventory) -> Check | None:
    """The NVIDIA driver supports the CUDA that the release is built for. None: nothing to check."""
    if not needs.cuda_majors:
        return None
    least = min(needs.cuda_majors)
    host = inventory.host
    name, needed = "driver", f"driver {DRIVERS.get(least, '?')} or newer, for CUDA {least}"
    supported = _major(host.cuda_driver_version)
    driver = _major(host.driver_version)
    found = f"driver {host.driver_version or '?'}, CUDA {host.cuda_driver_version or '?'}"
    if supported is None and driver is None:
        return warn(name, "unknown", needed, "check the driver with `nvidia-smi`")
    fits = supported >= least if supported is not None else (driver or 0) >= DRIVERS.get(least, 0)
    if fits:
        return ok(name, found, needed)
    return fail(
        name,
        found,
        needed,
        "update the driver and reboot, or use a release for an older CUDA: "
        "`gemma4ctl profiles list releases`",
    )


def _major(version: str | None) -> int | None:
    """The first number of ``version``."""
    first = (version or "").split(".")[0]
    return int(first) if first.isdecimal() else None
