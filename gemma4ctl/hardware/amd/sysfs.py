"""AMD GPUs without library or tool: KFD nodes joined with the DRM folders of their cards."""

from __future__ import annotations

import re

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.amd.assemble import Answer, Gpu
from gemma4ctl.hardware.amd.kfd import Node
from gemma4ctl.hardware.values import known, mib_from_bytes, pci_address

SOURCE = "sysfs"


def read(access: Access, nodes: tuple[Node, ...]) -> Answer:
    """One GPU for each KFD node; the card's own facts come from its DRM folder."""
    cards = _cards(access)
    gpus = []
    for node in nodes:
        card = cards.get(f"{(node.address or '')[:-1]}0", {})
        gpus.append(
            Gpu(
                name=known(card.get("product_name")),
                device_id=node.device_id,
                architecture=node.architecture,
                unique_id=node.unique_id,
                address=node.address,
                node=node.number,
                total_mib=mib_from_bytes(card.get("mem_info_vram_total")) or node.memory_mib,
                used_mib=mib_from_bytes(card.get("mem_info_vram_used")),
                compute_partition=known(card.get("current_compute_partition")),
                memory_partition=known(card.get("current_memory_partition")),
            )
        )
    return Answer("sysfs", SOURCE, tuple(gpus))


def _cards(access: Access) -> dict[str, dict[str, str]]:
    """PCI address -> the readable facts of an amdgpu card."""
    names = (
        "product_name",
        "mem_info_vram_total",
        "mem_info_vram_used",
        "current_compute_partition",
        "current_memory_partition",
    )
    found = {}
    for folder in sorted(access.path("/sys/class/drm").glob("card*/device")):
        slot = re.search(r"^PCI_SLOT_NAME=(\S+)$", access.read(folder / "uevent") or "", re.M)
        address = pci_address(slot[1]) if slot else None
        if address is not None:
            facts = {name: access.read(folder / name) for name in names}
            found[address] = {name: value for name, value in facts.items() if value is not None}
    return found
