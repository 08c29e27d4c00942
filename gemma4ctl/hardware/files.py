"""Inventory files: what ``gemma4ctl detect --json`` wrote, given back as ``--hardware-file``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gemma4ctl.errors import UsageError
from gemma4ctl.hardware.inventory import Device, Inventory, Slice
from gemma4ctl.model import faults

MAX_BYTES = 8 * 1024 * 1024
_REMEDY = "write one with: gemma4ctl detect --json > hardware.json"
_SHOWN_FAULTS = 5


def read_inventory(path: Path) -> Inventory:
    """The inventory in ``path``: a dump of one, or a doctor report that holds one.

    ``source`` becomes "file"; the sources of the devices stay as recorded.

    Raises:
        UsageError: the file is missing, unreadable, larger than 8 MiB, not JSON, or no inventory;
            the message names the file, the field and the reason.
    """
    from pydantic import ValidationError

    document = _parsed(_text(path), path)
    try:
        inventory = Inventory.model_validate(document)
    except ValidationError as error:
        raise _error(path, "is not an inventory", _some(faults(error))) from None
    contradiction = next(_contradictions(inventory), None)
    if contradiction:
        raise _error(path, "contradicts itself", contradiction)
    return inventory.model_copy(update={"source": "file"})


def _error(path: Path, trouble: str, found: str) -> UsageError:
    return UsageError(
        f"hardware file {path} {trouble}",
        needed="the JSON that gemma4ctl detect --json writes",
        found=found,
        remedies=(_REMEDY,),
        code="hardware-file",
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise _error(path, "cannot be read", reason) from None
    if len(content) > MAX_BYTES:
        raise _error(path, "is too large", f"more than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(path, "is not text", f"byte {error.start} is not UTF-8") from None


def _parsed(text: str, path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}: {error.msg}"
        raise _error(path, "is not JSON", place) from None
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of huge length
        raise _error(path, "is not usable JSON", str(error)) from None
    found = _inventory_in(document)
    if found is None:
        raise _error(path, "holds no inventory", "no object with a list of devices")
    return found


def _inventory_in(document: Any) -> Mapping[str, Any] | None:
    """The inventory object: the document, or what a report holds under a key of its own."""
    candidates = [document]
    while candidates:
        value = candidates.pop(0)
        if not isinstance(value, Mapping):
            continue
        if "devices" in value:
            return value
        candidates += [value[key] for key in ("inventory", "hardware") if key in value]
    return None


def _some(sentences: Sequence[str]) -> str:
    """The first few of ``sentences``."""
    more = len(sentences) - _SHOWN_FAULTS
    return "; ".join(sentences[:_SHOWN_FAULTS]) + (f"; and {more} more" if more > 0 else "")


def _contradictions(inventory: Inventory) -> Iterator[str]:
    """Sentences about values that no host can have together."""
    indices = [device.index for device in inventory.devices]
    uuids = [device.uuid for device in inventory.devices if device.uuid]
    uuids += [slice_.uuid for device in inventory.devices for slice_ in device.slices]
    for name, values in (("index", indices), ("uuid", uuids)):
        if len(set(values)) < len(values):
            yield f"devices: two have the same {name}"
    for position, device in enumerate(inventory.devices):
        holders: list[tuple[str, Device | Slice]] = [(f"devices.{position}", device)]
        holders += [
            (f"devices.{position}.slices.{n}", item) for n, item in enumerate(device.slices)
        ]
        for place, holder in holders:
            total, free = holder.memory_total_mib, holder.memory_free_mib
            if (total is not None and total < 0) or (free is not None and free < 0):
                yield f"{place}: negative memory"
            elif total is not None and free is not None and free > total:
                yield f"{place}.memory_free_mib: {free} is more than the total of {total}"
    for position, link in enumerate(inventory.links):
        if link.a == link.b or not {link.a, link.b} <= set(indices):
            yield f"links.{position}: joins devices that are not two of this inventory"
