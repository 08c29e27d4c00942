"""Detection: one :class:`~gemma4ctl.hardware.inventory.Inventory` of the machine we run on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import gemma4ctl
from gemma4ctl.hardware import amd, nvidia, visible
from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.host import read_host
from gemma4ctl.hardware.inventory import Device, Host, Inventory, Link
from gemma4ctl.hardware.values import Reading


def detect(environ: Mapping[str, str] | None = None, access: Access | None = None) -> Inventory:
    """Every GPU of this machine, its memory, links and health, and the machine around them.

    Args:
        environ: the environment to honour, by default the process's.
        access: the machine to read, by default the real one.

    Never raises for missing, lost or broken hardware: what could not be read is None, and
    ``problems`` says why.
    """
    environ = os.environ if environ is None else environ
    access = access or Access()
    host = read_host(access, environ)
    readings = [nvidia.read(access, host), amd.read(access)]
    devices, links = _joined(readings)
    visibility = visible.apply(devices, environ, in_container=host.container is not None)
    return Inventory(
        gemma4ctl_version=gemma4ctl.__version__,
        source=next((reading.source for reading in readings if reading.devices), "none"),
        devices=visibility.devices,
        links=links,
        host=_with_drivers(host, readings),
        visibility=visibility.honoured,
        problems=(
            *(text for reading in readings for text in reading.problems),
            *visibility.problems,
        ),
    )


def _joined(readings: list[Reading]) -> tuple[tuple[Device, ...], tuple[Link, ...]]:
    """The devices of all vendors under one numbering: each vendor's follow those before it."""
    devices: list[Device] = []
    links: list[Link] = []
    for reading in readings:
        offset = max((device.index for device in devices), default=-1) + 1
        devices += [
            device.model_copy(update={"index": device.index + offset}) for device in reading.devices
        ]
        links += [
            link.model_copy(update={"a": link.a + offset, "b": link.b + offset})
            for link in reading.links
        ]
    return tuple(devices), tuple(links)


def _with_drivers(host: Host, readings: list[Reading]) -> Host:
    values: dict[str, Any] = {}
    sources = dict(host.sources)
    for reading in readings:
        for name, value in reading.host.items():
            if name not in values:
                values[name] = value
                sources[name] = reading.source
    return host.model_copy(update={**values, "sources": sources})
