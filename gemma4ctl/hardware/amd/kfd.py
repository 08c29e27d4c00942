"""The kernel's compute topology (KFD) in sysfs: architecture, memory and links of every GPU node.

It needs no library and no tool, and it is the only source that gives the memory of one partition
of a card: the tools repeat the whole card's memory for each of its partitions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.values import mib_from_bytes, whole

NODES = "/sys/class/kfd/kfd/topology/nodes"
_VRAM_HEAPS = (1, 2)  # frame buffer visible to the host, and hidden from it
_XGMI = 11


@dataclass(frozen=True)
class Node:
    """One GPU node. ``xgmi`` holds the numbers of the nodes it reaches directly over xGMI."""

    number: int
    address: str | None
    architecture: str | None
    device_id: int | None
    unique_id: int | None
    memory_mib: int | None
    xgmi: tuple[int, ...] = ()


def read(access: Access) -> tuple[Node, ...]:
    """The GPU nodes in order; nodes of other containers, whose files are closed, are left out."""
    found = []
    for folder in access.path(NODES).glob("*"):
        number = whole(folder.name)
        facts = parse_properties(access.read(folder / "properties") or "")
        if number is None or not facts.get("simd_count") or not facts.get("gfx_target_version"):
            continue
        banks = [
            parse_properties(access.read(path) or "")
            for path in sorted(folder.glob("mem_banks/*/properties"))
        ]
        links = [
            parse_properties(access.read(path) or "")
            for path in sorted(folder.glob("io_links/*/properties"))
        ]
        found.append(
            Node(
                number=number,
                address=_address(facts),
                architecture=_architecture(facts["gfx_target_version"]),
                device_id=facts.get("device_id"),
                unique_id=facts.get("unique_id") or None,
                memory_mib=_memory(banks),
                xgmi=tuple(
                    link["node_to"]
                    for link in links
                    if link.get("type") == _XGMI and "node_to" in link
                ),
            )
        )
    return tuple(sorted(found, key=lambda node: node.number))


def parse_properties(text: str) -> dict[str, int]:
    """The ``name value`` lines of a properties file; lines of any other form are left out."""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(\w{1,64}) ([0-9]{1,20})", line.strip(), re.ASCII):
            found[match[1]] = int(match[2])
    return found


def _architecture(version: int) -> str | None:
    """90402 -> gfx942: two decimal digits each for minor and stepping, written in hex."""
    major, minor, stepping = version // 10000, version // 100 % 100, version % 100
    if not 0 < major < 100 or minor > 15 or stepping > 15:
        return None
    return f"gfx{major}{minor:x}{stepping:x}"


def _address(facts: dict[str, int]) -> str | None:
    location, domain = facts.get("location_id"), facts.get("domain", 0)
    if location is None or location > 0xFFFF or domain > 0xFFFFFFFF:
        return None
    return f"{domain:04x}:{location >> 8:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"


def _memory(banks: list[dict[str, int]]) -> int | None:
    sizes = [
        bank["size_in_bytes"]
        for bank in banks
        if bank.get("heap_type") in _VRAM_HEAPS and bank.get("size_in_bytes")
    ]
    return mib_from_bytes(sum(sizes)) if sizes else None
