"""Matching devices to platforms: rows of the profile table."""

from __future__ import annotations

import re

from gemma4ctl.hardware.inventory import Device, Inventory
from gemma4ctl.profiles.table import Platform, Profiles


def identify(inventory: Inventory, profiles: Profiles) -> Inventory:
    """``inventory`` with ``platform`` set on every device that exactly one row describes.

    A row describes a device when the vendor is the same and one of its ``names`` is found in the
    device's name; rows with a memory range also need the memory to lie in it. A device that
    already has a platform of the table (simulated, or from a file) keeps it.
    """
    devices = tuple(
        device.model_copy(update={"platform": _platform(device, profiles)})
        for device in inventory.devices
    )
    return inventory.model_copy(update={"devices": devices})


def _platform(device: Device, profiles: Profiles) -> str | None:
    if device.platform in profiles.platforms:
        return device.platform
    lengths = {
        name: length
        for name, platform in profiles.platforms.items()
        if platform.vendor == device.vendor and (length := _matched_length(device, platform))
    }
    fitting = [
        name for name in lengths if _memory_fits(device, profiles.platforms[name], len(lengths))
    ]
    longest = max((lengths[name] for name in fitting), default=0)
    best = [name for name in fitting if lengths[name] == longest]
    return best[0] if len(best) == 1 else None


def _matched_length(device: Device, platform: Platform) -> int:
    """The length of the longest piece of the device's name that the row's patterns match."""
    matches = (re.search(pattern, device.name, re.IGNORECASE) for pattern in platform.names)
    return max((len(match[0]) for match in matches if match), default=0)


def _memory_fits(device: Device, platform: Platform, rows_of_that_name: int) -> bool:
    """Whether the memory is in the row's range; unknown memory only when no other row competes.

    A partition has a share of its card's memory, so the range says nothing about it.
    """
    if platform.memory_range_mib is None:
        return True
    if device.memory_total_mib is None or device.parent is not None:
        return rows_of_that_name == 1
    low, high = platform.memory_range_mib
    return low <= device.memory_total_mib <= high
