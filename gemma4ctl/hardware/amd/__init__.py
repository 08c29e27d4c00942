"""AMD GPUs: the ``amdsmi`` library, then the command line tools, then sysfs without any of them.

Devices are numbered in the order of the kernel's KFD nodes where it is known, which is how HIP
and ROCr number them. A UUID is ``GPU-`` with the 16 hex digits of the card's unique id, the form
that ``ROCR_VISIBLE_DEVICES`` takes; partitions of a card share that id, so they have none.
"""

from __future__ import annotations

import re

from gemma4ctl.hardware import pci
from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.amd import amd_smi, amdsmi, assemble, kfd, rocm_smi, sysfs
from gemma4ctl.hardware.values import Reading


def read(access: Access) -> Reading:
    """What the first source that answers says; ``source`` is "none" when there is no AMD GPU."""
    nodes = kfd.read(access)
    complaints: list[str] = []
    for read_source in (amdsmi.read, amd_smi.read, rocm_smi.read):
        answer = read_source(access)
        if answer.gpus:
            return _reading(access, answer, nodes)
        complaints += answer.problems
    answer = sysfs.read(access, nodes)
    if answer.gpus:
        return _reading(access, answer, nodes)
    on_bus = pci.accelerators(access, pci.AMD)
    if on_bus:
        complaints.append(
            f"{len(on_bus)} AMD GPU(s) on the PCI bus ({', '.join(on_bus)}) but the amdgpu driver "
            "shows none: load it, or give the container /dev/kfd and /dev/dri"
        )
    return Reading("none", problems=tuple(dict.fromkeys(complaints)))


def _reading(access: Access, answer: assemble.Answer, nodes: tuple[kfd.Node, ...]) -> Reading:
    reading = assemble.reading(answer, nodes)
    facts = dict(answer.host)
    driver = access.read("/sys/module/amdgpu/version")
    if driver:
        facts.setdefault("driver_version", driver)
    rocm = re.match(r"\d+(\.\d+)+", access.read("/opt/rocm/.info/version") or "")
    if rocm:
        facts["rocm_version"] = rocm[0]
    return Reading(reading.source, reading.devices, reading.links, facts, reading.problems)
