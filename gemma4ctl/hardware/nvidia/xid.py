"""XID events: errors that NVIDIA's kernel module wrote to the kernel log since boot.

NVML reports them only as they happen, so they are read with ``dmesg`` where this user may. Only
codes that speak of the hardware count; most others are faults of a program that ran.
"""

from __future__ import annotations

import re

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.inventory import Device, Health

HARDWARE = {
    48: "double-bit ECC error",
    64: "a memory row could not be remapped",
    74: "NVLink error",
    79: "fell off the bus",
    92: "high rate of single-bit ECC errors",
    95: "uncontained memory error",
    119: "the GPU's system processor does not answer",
    120: "the GPU's system processor failed",
    140: "unrecovered ECC error",
}
_EVENT = re.compile(
    r"NVRM: Xid \(PCI:([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})\S*\): (\d{1,4})"
)


def with_events(access: Access, devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """``devices``, degraded where the kernel log holds a hardware XID of theirs."""
    log = access.run(["dmesg"])
    events = parse(log.stdout) if log and log.status == 0 else {}
    return tuple(
        _marked(device, events.get((device.pci_bus_id or "")[:-2], ())) for device in devices
    )


def parse(log: str) -> dict[str, tuple[int, ...]]:
    """PCI address without function -> the hardware XIDs in a kernel log, each once."""
    found: dict[str, tuple[int, ...]] = {}
    for place, code in _EVENT.findall(log):
        domain, rest = place.split(":", 1)
        address = f"{int(domain, 16):04x}:{rest.lower()}"
        if int(code) in HARDWARE and int(code) not in found.get(address, ()):
            found[address] = (*found.get(address, ()), int(code))
    return found


def _marked(device: Device, codes: tuple[int, ...]) -> Device:
    if not codes or device.health.status in ("lost", "unreadable"):
        return device
    events = tuple(f"XID {code} since boot: {HARDWARE[code]}" for code in codes)
    earlier = device.health.reasons if device.health.status == "degraded" else ()
    health = Health(status="degraded", reasons=(*earlier, *events))
    return device.model_copy(update={"health": health})
