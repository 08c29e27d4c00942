"""The ``*_VISIBLE_DEVICES`` variables: which devices a process started here could use.

Numbers, UUIDs and unique UUID prefixes are understood as the CUDA and HIP runtimes understand
them: the list ends at the first entry that names no device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gemma4ctl.hardware.inventory import Device, Slice

_Named = TypeVar("_Named", Device, Slice)

CUDA = "CUDA_VISIBLE_DEVICES"
NVIDIA = "NVIDIA_VISIBLE_DEVICES"
ROCR = "ROCR_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Visibility:
    """The outcome: devices with ``visible`` set, the variables that counted, and problems."""

    devices: tuple[Device, ...]
    honoured: dict[str, str]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Allowed:
    """What a list lets through: positions of whole devices and UUIDs of slices."""

    positions: frozenset[int] = frozenset()
    slices: frozenset[str] = frozenset()
    ended_by: str | None = None  # the entry that named no device


def apply(
    devices: Sequence[Device], environ: Mapping[str, str], *, in_container: bool = False
) -> Visibility:
    """Set ``visible`` on ``devices`` and their slices from the environment.

    ``NVIDIA_VISIBLE_DEVICES`` addresses the container runtime: inside a container it has been
    applied already (and numbers the host's devices), so it only counts outside.
    """
    nvidia = [device for device in devices if device.vendor == "nvidia"]
    amd = [device for device in devices if device.vendor == "amd"]
    others = [device for device in devices if device.vendor not in ("nvidia", "amd")]
    honoured: dict[str, str] = {}
    problems: list[str] = []

    def restrict(group: list[Device], name: str) -> list[Device]:
        if not group or name not in environ:
            return group
        honoured[name] = environ[name]
        if name == NVIDIA:
            allowed = _container_list(group, environ[name])
        else:
            allowed = _runtime_list(group, environ[name])
        if allowed.ended_by is not None:
            problems.append(
                f"{name}={environ[name]}: entry {allowed.ended_by!r} names no device here; "
                "it and all that follow are ignored, as the runtime does"
            )
        return _hide(group, allowed)

    if not in_container:
        nvidia = restrict(nvidia, NVIDIA)
    if CUDA in environ and nvidia:
        problems += _order_warning(nvidia, environ)
    nvidia = restrict(nvidia, CUDA)
    amd = restrict(amd, ROCR)
    if not nvidia and HIP not in environ:
        amd = restrict(amd, CUDA)  # HIP reads the CUDA variable when its own is not set
    amd = restrict(amd, HIP)
    ordered = sorted([*nvidia, *amd, *others], key=lambda device: device.index)
    return Visibility(tuple(ordered), honoured, tuple(problems))


def _order_warning(devices: list[Device], environ: Mapping[str, str]) -> list[str]:
    """CUDA numbers the fastest GPU first unless told otherwise; NVML numbers by PCI address."""
    mixed = len({device.name for device in devices}) > 1
    numbers = re.search(r"(^|,)\s*\d+\s*(,|$)", environ[CUDA])
    if not (mixed and numbers) or environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return []
    return [
        f"{CUDA}={environ[CUDA]} gives numbers on a host with different GPUs: CUDA counts the "
        "fastest first, this inventory counts by PCI address; set CUDA_DEVICE_ORDER=PCI_BUS_ID "
        "or name the GPUs by UUID"
    ]


def _hide(devices: list[Device], allowed: _Allowed) -> list[Device]:
    """The devices with ``visible`` lowered to what ``allowed`` lets through."""
    position = 0
    result = []
    for device in devices:
        whole = device.visible and position in allowed.positions
        slices = tuple(
            slice_.model_copy(
                update={"visible": slice_.visible and (whole or slice_.uuid in allowed.slices)}
            )
            for slice_ in device.slices
        )
        seen = whole or any(slice_.visible for slice_ in slices)
        position += device.visible
        result.append(device.model_copy(update={"visible": seen, "slices": slices}))
    return result


def _container_list(devices: list[Device], value: str) -> _Allowed:
    """The container toolkit's list: also ``all``, ``none``, ``void`` and ``gpu:mig`` numbers."""
    count = sum(device.visible for device in devices)
    word = value.strip().lower()
    if word == "all":
        return _Allowed(frozenset(range(count)))
    if word in ("", "none", "void"):
        return _Allowed()
    return _runtime_list(devices, value)


def _runtime_list(devices: list[Device], value: str) -> _Allowed:
    """A comma-separated list as CUDA and HIP read it; the first bad entry ends it."""
    visible = [device for device in devices if device.visible]
    positions: set[int] = set()
    slices: set[str] = set()
    for entry in (part.strip() for part in value.split(",")):
        if not entry and not positions and not slices:
            return _Allowed()  # an empty list hides everything, on purpose
        device, slice_ = _find(visible, entry)
        if slice_ is not None:
            slices.add(slice_.uuid)
        elif device is not None:
            positions.add(visible.index(device))
        else:
            bad = None if entry == "-1" else entry
            return _Allowed(frozenset(positions), frozenset(slices), bad)
    return _Allowed(frozenset(positions), frozenset(slices))


def _find(visible: list[Device], entry: str) -> tuple[Device | None, Slice | None]:
    """The device or slice that ``entry`` names; an ambiguous prefix names none."""
    if re.fullmatch(r"\d{1,9}", entry) and entry.isascii():
        number = int(entry)
        return (visible[number] if number < len(visible) else None), None
    if re.fullmatch(r"\d{1,4}:\d{1,4}", entry) and entry.isascii():
        card, number = (int(part) for part in entry.split(":"))
        slices = visible[card].slices if card < len(visible) else ()
        return None, (slices[number] if number < len(slices) else None)
    if len(entry) <= len("GPU-"):
        return None, None
    members = [slice_ for device in visible for slice_ in device.slices]
    return _unique(visible, entry), _unique(members, entry)


def _unique(items: Sequence[_Named], prefix: str) -> _Named | None:
    """The one item whose UUID is, or starts with, ``prefix``, in any case."""
    matches = [item for item in items if (item.uuid or "").lower().startswith(prefix.lower())]
    return matches[0] if len(matches) == 1 else None
