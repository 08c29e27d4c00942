"""Simulated hosts: an inventory made from a row of the profile table."""

from __future__ import annotations

import difflib
import re
from itertools import combinations
from typing import Literal

import gemma4ctl
from gemma4ctl.errors import UsageError
from gemma4ctl.hardware.inventory import Device, Host, Inventory, Link
from gemma4ctl.profiles.table import Platform, Profiles

MAX_GPUS = 64  # eight MI300X in CPX; no host shows more
DEFAULT_PLATFORM = "H200"


def simulate(
    platform_name: str,
    gpus: int,
    profiles: Profiles,
    source: Literal["flag", "default"] = "flag",
) -> Inventory:
    """A host with ``gpus`` idle, healthy devices of a platform, all linked as the platform is.

    Args:
        platform_name: a name of the table or its title, in any case.
        gpus: how many devices the host has, 1 to :data:`MAX_GPUS`.
        profiles: the table.
        source: why it is simulated: asked for by a flag, or the default.

    Raises:
        UsageError: the platform is unknown, or the number is not possible.
    """
    name = find_platform(platform_name, profiles)
    platform = profiles.platforms[name]
    if not 1 <= gpus <= MAX_GPUS:
        raise UsageError(
            f"a host cannot have {gpus} GPUs",
            needed=f"1 to {MAX_GPUS}",
            found=str(gpus),
            remedies=(f"--gpus {platform.node_size} is a usual {name} node",),
            code="gpu-count",
        )
    devices = tuple(
        Device(
            index=index,
            vendor=platform.vendor,
            name=platform.title,
            platform=name,
            architecture=platform.architecture,
            memory_total_mib=platform.memory_mib,
            memory_free_mib=platform.memory_mib,
            unified_memory=platform.unified_memory,
            source=source,
        )
        for index in range(gpus)
    )
    return Inventory(
        gemma4ctl_version=gemma4ctl.__version__,
        source=source,
        devices=devices,
        links=_links(platform, gpus),
        host=Host(
            cpu_architecture=platform.cpu_architectures[0],
            sources={"cpu_architecture": "profile table"},
        ),
    )


def default_inventory(profiles: Profiles) -> Inventory:
    """The host to plan for when there is no GPU and none was named: a node of H200."""
    size = profiles.platforms[DEFAULT_PLATFORM].node_size
    return simulate(DEFAULT_PLATFORM, size, profiles, source="default")


def find_platform(wanted: str, profiles: Profiles) -> str:
    """The table's name for ``wanted`` (name or title, any case, ``-``, ``_`` and blanks alike)."""
    names = {_folded(name): name for name in profiles.platforms}
    titles = {_folded(row.title): name for name, row in profiles.platforms.items()}
    found = names.get(_folded(wanted)) or titles.get(_folded(wanted))
    if found:
        return found
    near = difflib.get_close_matches(_folded(wanted), [*names, *titles], n=3, cutoff=0.5)
    nearest = dict.fromkeys(names.get(name) or titles[name] for name in near)
    raise UsageError(
        f"unknown hardware {wanted!r}",
        needed="one of: " + ", ".join(profiles.platforms),
        found=wanted,
        remedies=tuple(f"--hardware {_quoted(name)}" for name in nearest),
        code="unknown-platform",
    )


def _folded(name: str) -> str:
    return "".join(character for character in name.lower() if character not in " -_")


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name


def _links(platform: Platform, gpus: int) -> tuple[Link, ...]:
    """All pairs that the platform's interconnect joins (NVLink-C2C joins a GPU and its CPU)."""
    interconnect = (platform.interconnect or "").lower()
    if "c2c" in interconnect:
        return ()
    bridge = re.search(r"bridge of (\d+)", interconnect)
    size = int(bridge[1]) if bridge else gpus
    for word, kind in (("nvlink", "nvlink"), ("xgmi", "xgmi"), ("infinity fabric", "xgmi")):
        if word in interconnect:
            pairs = combinations(range(gpus), 2)
            return tuple(Link(a=a, b=b, kind=kind) for a, b in pairs if a // size == b // size)
    return ()
