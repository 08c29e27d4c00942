"""Small readings that every source shares: numbers, absent values, PCI addresses, results.

A driver says "I do not know" in many ways (``N/A``, ``[Not Supported]``, an all-ones integer);
here each becomes None, and nothing else is ever made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gemma4ctl.hardware.inventory import Device, Health, Link, Source

MIB = 1024 * 1024
_UNITS_IN_BYTES = {
    "b": 1,
    "bytes": 1,
    "kb": 1024,
    "kib": 1024,
    "mb": MIB,
    "mib": MIB,
    "gb": 1024 * MIB,
    "gib": 1024 * MIB,
}
_LARGEST_MIB = 1 << 30  # a pebibyte: anything above is a driver's "not available" pattern
_ABSENT = {
    "",
    "n/a",
    "na",
    "none",
    "null",
    "unknown",
    "unknown error",
    "not supported",
    "not found",
}
_PCI = re.compile(r"^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """What one source said. ``host`` maps fields of the host record to their values."""

    source: Source
    devices: tuple[Device, ...] = ()
    links: tuple[Link, ...] = ()
    host: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def known(text: object) -> str | None:
    """``text`` as a string, None where a tool wrote that it does not know."""
    if text is None:
        return None
    value = str(text).strip()
    bare = value.strip("[]<> ").lower()
    return None if bare in _ABSENT or bare.startswith(("gpu is lost", "err!")) else value


def whole(text: object) -> int | None:
    """A non-negative decimal or 0x-prefixed integer, else None."""
    value = known(text)
    if value is None or not value.isascii():
        return None
    if re.fullmatch(r"\d{1,20}", value):
        return int(value)
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", value):
        return int(value, 16)
    return None


def mib_from_bytes(count: object) -> int | None:
    """Bytes to whole MiB; None where absent or impossible."""
    number = count if isinstance(count, int) and not isinstance(count, bool) else whole(count)
    return None if number is None else plausible(number // MIB)


def plausible(mib: int | None) -> int | None:
    """``mib`` unless it is negative or a pattern that drivers use for "not available"."""
    return mib if mib is not None and 0 <= mib < _LARGEST_MIB else None


def mib_from_quantity(quantity: Any, default_unit: str = "mib") -> int | None:
    """A size that a tool wrote as ``{"value": 1, "unit": "MB"}``, ``"1 MB"`` or ``1``, in MiB.

    AMD's tools and NVIDIA's write MB and mean MiB.
    """
    if isinstance(quantity, Mapping):
        value, unit = quantity.get("value"), known(quantity.get("unit")) or default_unit
    else:
        value, _, unit = str(quantity).strip().partition(" ")
        unit = unit or default_unit
    number = None if isinstance(value, bool) else whole(value)
    size = _UNITS_IN_BYTES.get(unit.strip().lower())
    return None if number is None or size is None else plausible(number * size // MIB)


def pci_address(text: object) -> str | None:
    """A PCI address as ``dddd:bb:dd.f``, whatever the length of the domain; None if it is none."""
    match = _PCI.match((known(text) or "").strip())
    if not match:
        return None
    domain, bus, device, function = match.groups(default="0000")
    return f"{int(domain, 16):04x}:{bus}:{device}.{function}".lower()


def lost(reason: str) -> Health:
    """The health of a device that fell off the bus."""
    return Health(status="lost", reasons=(reason,))


def unreadable(reason: str) -> Health:
    """The health of a device that is there but cannot be read."""
    return Health(status="unreadable", reasons=(reason,))


def degraded(reasons: list[str]) -> Health:
    """``ok`` without reasons, ``degraded`` with them."""
    return Health(status="degraded", reasons=tuple(reasons)) if reasons else Health()


def trouble(devices: Iterable[Device]) -> tuple[str, ...]:
    """One sentence for each device that cannot be used."""
    return tuple(
        f"{device.vendor.upper()} GPU {device.index} ({device.pci_bus_id or device.name}) is "
        f"{device.health.status}: {'; '.join(device.health.reasons)}"
        for device in devices
        if device.health.status in ("lost", "unreadable")
    )
