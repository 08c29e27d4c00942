"""AMD GPUs through ``rocm-smi --json``, the tool before ``amd-smi``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.amd.amdsmi import graphics_version
from gemma4ctl.hardware.amd.assemble import Answer, Gpu
from gemma4ctl.hardware.amd.json_output import ask
from gemma4ctl.hardware.values import known, mib_from_bytes, pci_address, whole

SOURCE = "rocm-smi"
COMMAND = (
    "rocm-smi",
    "--showid",
    "--showproductname",
    "--showuniqueid",
    "--showbus",
    "--showmeminfo",
    "vram",
    "--showcomputepartition",
    "--showmemorypartition",
    "--showdriverversion",
    "--json",
)


def read(access: Access) -> Answer:
    """Every card in the tool's JSON."""
    return parse(ask(access, COMMAND))


def parse(value: Any) -> Answer:
    """The cards (``card0``, ``card1``, ...) of the tool's JSON, in the order of their numbers."""
    cards = {}
    system: Mapping[str, Any] = {}
    for key, record in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(record, Mapping):
            continue
        record = {str(name).lower(): entry for name, entry in record.items()}
        if match := re.fullmatch(r"card([0-9]{1,4})", key):
            cards[int(match[1])] = record
        elif key == "system":
            system = record
    driver = known(system.get("driver version"))
    return Answer(
        "cli",
        SOURCE,
        tuple(_gpu(cards[number]) for number in sorted(cards)),
        host={"driver_version": driver} if driver else {},
    )


def _gpu(card: Mapping[str, Any]) -> Gpu:
    return Gpu(
        name=_name(card),
        device_id=whole(card.get("device id")) or whole(card.get("card model")),
        architecture=graphics_version(card.get("gfx version")),
        unique_id=whole(card.get("unique id")) or None,
        address=pci_address(card.get("pci bus")),
        node=whole(card.get("node id")),
        total_mib=mib_from_bytes(card.get("vram total memory (b)")),
        used_mib=mib_from_bytes(card.get("vram total used memory (b)")),
        compute_partition=known(card.get("compute partition")),
        memory_partition=known(card.get("memory partition")),
    )


def _name(card: Mapping[str, Any]) -> str | None:
    """A product name; some versions print the device id in its place."""
    for field in ("device name", "card series", "card model"):
        name = known(card.get(field))
        if name and whole(name) is None:
            return name
    return None
