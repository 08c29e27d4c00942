"""NVIDIA GPUs: NVML first, then ``nvidia-smi``; and what the PCI bus shows when both are silent."""

from __future__ import annotations

from dataclasses import replace

from gemma4ctl.hardware import pci
from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.inventory import Host
from gemma4ctl.hardware.nvidia import nvidia_smi, nvml, xid
from gemma4ctl.hardware.values import Reading


def read(access: Access, host: Host) -> Reading:
    """What the first source that answers says; ``source`` is "none" when there is no NVIDIA GPU."""
    complaints: list[str] = []
    for read_source in (nvml.read, nvidia_smi.read):
        reading = read_source(access, host)
        if reading.devices:
            return replace(reading, devices=xid.with_events(access, reading.devices))
        complaints += reading.problems
    on_bus = pci.accelerators(access, pci.NVIDIA)
    if on_bus:
        complaints.append(
            f"{len(on_bus)} NVIDIA GPU(s) on the PCI bus ({', '.join(on_bus)}) but no driver "
            "answers: install or load the NVIDIA driver, or give the container its GPUs"
        )
    return Reading("none", problems=tuple(dict.fromkeys(complaints)))
