"""Constructed inventories and shortcuts for the planning tests."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from gemma4ctl.hardware.inventory import Device, Health, Host, Inventory, Link, Slice
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation, situate
from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.table import Cell, Profiles

GIB = 1 << 30


@lru_cache(maxsize=1)
def table() -> Profiles:
    """The built-in profile table."""
    return load()


@lru_cache(maxsize=256)
def node(platform: str, gpus: int | None = None) -> Inventory:
    """A simulated node, of the usual size unless told."""
    return simulate(platform, gpus or table().platforms[platform].node_size, table())


def gpu(index: int, like: str = "H200", /, **changes: Any) -> Device:
    """A detected, idle, healthy GPU of the platform ``like``; ``changes`` override fields."""
    row = table().platforms[like]
    fields: dict[str, Any] = {
        "index": index,
        "vendor": row.vendor,
        "name": row.title,
        "uuid": f"GPU-{index:08x}-0000-0000-0000-000000000000",
        "platform": like,
        "architecture": row.architecture,
        "memory_total_mib": row.memory_mib,
        "memory_free_mib": (row.memory_mib or 0) - 600 if row.memory_mib else None,
        "source": "nvml",
    }
    return Device(**(fields | changes))


def host(*devices: Device, links: tuple[Link, ...] = (), **fields: Any) -> Inventory:
    """A detected host with these devices; ``fields`` are of :class:`Host`."""
    return Inventory(source="nvml", devices=devices, links=links, host=Host(**fields))


def mig(index: int, like: str, *slices_mib: int) -> Device:
    """A card in MIG mode with slices of these sizes."""
    parts = tuple(
        Slice(uuid=f"MIG-{index}-{n}", memory_total_mib=size, memory_free_mib=size - 50)
        for n, size in enumerate(slices_mib)
    )
    return gpu(index, like, mig_enabled=True, slices=parts)


def sick(status: str, reason: str = "XID 79") -> Health:
    """The health of a GPU with something wrong."""
    return Health(status=status, reasons=(reason,))  # type: ignore[arg-type]


def tuned(**fields: Any) -> Profiles:
    """The built-in table with a cell such as `gemma4ctl tune` writes, in front of its own."""
    cell = Cell(**({"tp": 1, "status": "verified", "source": "selector"} | fields))
    return table().model_copy(update={"cells": (cell, *table().cells)})


def planned(
    inventory: Inventory | str = "H200",
    *,
    without: tuple[str, ...] = (),
    profiles: Profiles | None = None,
    **request: Any,
) -> Plan:
    """The plan for ``request`` on a host, or on a node of the platform named."""
    if isinstance(inventory, str):
        request.setdefault("hardware", inventory)
        inventory = node(inventory)
    return plan(Request(**request), inventory, profiles or table(), without=without)


def situation(platform: str, gpus: int | None = None, **request: Any) -> Situation:
    """A request on a node of the platform, before any rule ran."""
    return situate(Request(hardware=platform, **request), node(platform, gpus), table())


def found(platform: str, gpus: int = 1, /, **request: Any) -> Memory:
    """The memory of a plan with TP ``gpus`` on as many."""
    result = memory(situation(platform, gpus, **request), gpus, bool(request.get("mtp")))
    assert result is not None
    return result
