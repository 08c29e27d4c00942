"""The inventory: what a host has, and where each value came from.

An inventory is plain data. It is detected (:mod:`gemma4ctl.hardware.detect`), simulated from a
platform row (:mod:`gemma4ctl.hardware.simulate`) or read from a file that ``gemma4ctl detect
--json`` wrote; planning does not care which.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

from gemma4ctl.model import Model

Vendor = Literal["nvidia", "amd", "intel"]
Source = Literal["nvml", "amdsmi", "cli", "sysfs", "file", "flag", "default", "none"]
HealthStatus = Literal["ok", "degraded", "lost", "unreadable", "unknown"]


class Process(Model):
    """A process that holds memory on a device."""

    pid: int
    name: str | None = None
    memory_mib: int | None = None


class Health(Model):
    """Whether a device can be trusted with work; ``reasons`` says why not.

    ``lost``: the driver knows the device but it fell off the bus. ``unreadable``: it is there, but
    its memory or identity could not be read. ``degraded``: it works, with uncorrected ECC errors,
    XID events or thermal/power throttling.
    """

    status: HealthStatus = "ok"
    reasons: tuple[str, ...] = ()


class Slice(Model):
    """A MIG instance: its own UUID and memory, under its card."""

    uuid: str
    profile: str | None = None
    memory_total_mib: int | None = None
    memory_free_mib: int | None = None
    visible: bool = True


class Device(Model):
    """One GPU (or one AMD compute partition) as the driver reports it.

    ``index`` is the position in the source's own order (NVML order for NVIDIA, which is PCI bus
    order and may differ from CUDA's); plans name devices by ``uuid``. Memory is in MiB; None means
    that it could not be read, never zero.
    """

    index: int
    vendor: Vendor
    name: str
    uuid: str | None = None
    platform: str | None = None  # the row of the profile table, None when no row matches
    architecture: str | None = None  # "sm_90", "gfx942"
    memory_total_mib: int | None = None
    memory_free_mib: int | None = None
    unified_memory: bool = False  # the memory is the host's RAM (GB10)
    pci_bus_id: str | None = None
    visible: bool = True  # False when a *_VISIBLE_DEVICES variable hides it
    mig_enabled: bool = False
    slices: tuple[Slice, ...] = ()
    compute_partition: str | None = None  # AMD: SPX, DPX, QPX, CPX
    memory_partition: str | None = None  # AMD: NPS1, NPS2, NPS4
    parent: str | None = None  # AMD partition: the PCI address of its card
    processes: tuple[Process, ...] = ()
    health: Health = Health()
    source: str = "flag"  # the tool that read it: "nvml", "nvidia-smi", "amdsmi", "amd-smi", ...
    sources: dict[str, str] = {}  # field -> source, where it differs from ``source``


class Link(Model):
    """A direct connection of two devices, by their ``index``."""

    a: int
    b: int
    kind: str  # "nvlink", "xgmi", "pcie"
    count: int | None = None  # number of links (NVLink)


class Host(Model):
    """The machine around the GPUs. Memory in MiB; ``sources`` maps a field to where it was read."""

    cpu_architecture: str | None = None  # "x86_64", "aarch64"
    ram_total_mib: int | None = None
    ram_available_mib: int | None = None
    swap_total_mib: int | None = None
    shm_total_mib: int | None = None
    container: str | None = None  # "docker", "podman", "kubernetes", ...; None: bare metal or VM
    driver_version: str | None = None
    cuda_driver_version: str | None = None  # the newest CUDA the driver supports, "13.0"
    rocm_version: str | None = None
    packages: dict[str, str] = {}  # sglang, torch, transformers, ... -> installed version
    sources: dict[str, str] = {}


class Unit(Model):
    """Something one rank can run on: a whole GPU, an AMD partition, or a MIG slice.

    A MIG slice never joins a tensor-parallel group.
    """

    id: str  # what CUDA_VISIBLE_DEVICES and `docker --gpus device=` take: UUID, else the index
    index: int  # Device.index of the GPU it is or lies in
    kind: Literal["gpu", "mig", "partition"]
    name: str
    platform: str | None
    vendor: Vendor
    architecture: str | None
    memory_total_mib: int | None
    memory_free_mib: int | None
    health: Health


class Inventory(Model):
    """Everything known about a host. ``problems`` are readable sentences, one per trouble met."""

    schema_version: Literal[1] = 1
    gemma4ctl_version: str | None = None
    source: Source = "none"
    devices: tuple[Device, ...] = ()
    links: tuple[Link, ...] = ()
    host: Host = Host()
    visibility: dict[str, str] = {}  # the *_VISIBLE_DEVICES variables that were honoured
    problems: tuple[str, ...] = ()

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The visible units in device order; a card in MIG mode gives its slices."""
        return tuple(unit for device in self.devices for unit in _units(device))


def _units(device: Device) -> Iterator[Unit]:
    """The visible units of ``device``."""
    shared: dict[str, Any] = {
        "index": device.index,
        "name": device.name,
        "platform": device.platform,
        "vendor": device.vendor,
        "architecture": device.architecture,
        "health": device.health,
    }
    if device.mig_enabled:
        for slice_ in device.slices:
            if slice_.visible:
                yield Unit(
                    id=slice_.uuid,
                    kind="mig",
                    memory_total_mib=slice_.memory_total_mib,
                    memory_free_mib=slice_.memory_free_mib,
                    **shared,
                )
    elif device.visible:
        yield Unit(
            id=device.uuid or str(device.index),
            kind="partition" if device.parent else "gpu",
            memory_total_mib=device.memory_total_mib,
            memory_free_mib=device.memory_free_mib,
            **shared,
        )
