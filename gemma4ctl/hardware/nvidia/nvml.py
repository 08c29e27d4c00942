"""NVIDIA GPUs through NVML, the library that the driver installs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.inventory import Device, Health, Host, Link, Process, Slice
from gemma4ctl.hardware.nvidia import unified
from gemma4ctl.hardware.nvidia.clocks import throttling
from gemma4ctl.hardware.values import (
    Reading,
    degraded,
    known,
    lost,
    mib_from_bytes,
    pci_address,
    trouble,
    unreadable,
)

SOURCE = "nvml"
_T = TypeVar("_T")


def read(access: Access, host: Host) -> Reading:
    """Every GPU that NVML lists; no devices and a reason when NVML cannot be used."""
    try:
        library = access.load("pynvml")
    except Exception:  # a broken third-party package must not end detection
        return Reading("nvml")
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return Reading("nvml", problems=_init_problems(library, error))
    try:
        return _Reader(library, access, host).reading()
    except Exception as error:  # another package named pynvml, or a library of another age
        return Reading("nvml", problems=(f"NVML cannot be read: {error!r}",))
    finally:
        library.nvmlShutdown()


def _init_problems(library: Any, error: Exception) -> tuple[str, ...]:
    """Sentences for failures that mean trouble; a host without the driver is no trouble."""
    if isinstance(error, library.NVMLError_LibRmVersionMismatch):
        return (
            "NVML and the loaded NVIDIA kernel module are of different versions: "
            "reboot, or reload the module",
        )
    absent = (library.NVMLError_LibraryNotFound, library.NVMLError_DriverNotLoaded)
    return () if isinstance(error, absent) else (f"NVML does not start: {error}",)


@dataclass
class _Reader:
    """One pass over the GPUs with an initialised library."""

    library: Any
    access: Access
    host: Host

    def reading(self) -> Reading:
        count = self.ask(self.library.nvmlDeviceGetCount) or 0
        handles: dict[int, Any] = {}
        devices = []
        for index in range(count):
            try:
                handles[index] = self.library.nvmlDeviceGetHandleByIndex(index)
            except self.library.NVMLError as error:
                devices.append(self.without_handle(index, error))
                continue
            devices.append(self.device(index, handles[index]))
        linkable = {
            device.index: handles[device.index]
            for device in devices
            if device.index in handles and not device.mig_enabled
        }
        return Reading(
            "nvml", tuple(devices), self.links(linkable), self.host_facts(), trouble(devices)
        )

    def ask(self, function: Callable[..., _T], *arguments: Any) -> _T | None:
        """The answer of an NVML function; None where this GPU or driver does not support it.

        A lost GPU is not an unsupported question: that error passes.
        """
        try:
            return function(*arguments)
        except self.library.NVMLError_GpuIsLost:
            raise
        except self.library.NVMLError:
            return None

    def without_handle(self, index: int, error: Exception) -> Device:
        gone = isinstance(error, self.library.NVMLError_GpuIsLost)
        return Device(
            index=index,
            vendor="nvidia",
            name="NVIDIA GPU",
            health=lost(str(error)) if gone else unreadable(f"NVML gives no handle: {error}"),
            source=SOURCE,
        )

    def device(self, index: int, handle: Any) -> Device:
        fields: dict[str, Any] = {"name": "NVIDIA GPU"}
        try:
            fields["pci_bus_id"] = self.pci(handle)
            fields["uuid"] = self.text(self.library.nvmlDeviceGetUUID, handle)
            fields["name"] = self.text(self.library.nvmlDeviceGetName, handle) or "NVIDIA GPU"
            fields["architecture"] = self.architecture(handle)
            fields |= self.memory(handle, fields["name"])
            fields["mig_enabled"] = self.mig_enabled(handle)
            fields["slices"] = self.slices(handle) if fields["mig_enabled"] else ()
            fields["processes"] = self.processes(handle)
            fields.setdefault("health", self.health(handle))
        except self.library.NVMLError_GpuIsLost as error:
            fields["health"] = lost(str(error))
        return Device(index=index, vendor="nvidia", source=SOURCE, **fields)

    def text(self, function: Callable[[Any], Any], handle: Any) -> str | None:
        value = self.ask(function, handle)
        return known(value.decode(errors="replace") if isinstance(value, bytes) else value)

    def pci(self, handle: Any) -> str | None:
        info = self.ask(self.library.nvmlDeviceGetPciInfo, handle)
        return _bus_id(info) if info is not None else None

    def architecture(self, handle: Any) -> str | None:
        capability = self.ask(self.library.nvmlDeviceGetCudaComputeCapability, handle)
        return f"sm_{capability[0]}{capability[1]}" if capability else None

    def memory(self, handle: Any, name: str) -> dict[str, Any]:
        """Memory fields; an unsupported question means RAM only on known integrated parts."""
        if unified.is_integrated(name):
            return unified.memory_fields(self.host)
        try:
            memory = self.library.nvmlDeviceGetMemoryInfo(handle)
        except self.library.NVMLError_GpuIsLost:
            raise
        except self.library.NVMLError as error:
            return {"health": unreadable(f"its memory cannot be read: {error}")}
        total = mib_from_bytes(memory.total)
        if not total:
            return {"health": unreadable(f"NVML says its memory is {memory.total} bytes")}
        return {"memory_total_mib": total, "memory_free_mib": mib_from_bytes(memory.free)}

    def mig_enabled(self, handle: Any) -> bool:
        mode = self.ask(self.library.nvmlDeviceGetMigMode, handle)
        return mode is not None and bool(mode[0] == self.library.NVML_DEVICE_MIG_ENABLE)

    def slices(self, handle: Any) -> tuple[Slice, ...]:
        found = []
        for position in range(self.ask(self.library.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            member = self.ask(self.library.nvmlDeviceGetMigDeviceHandleByIndex, handle, position)
            uuid = self.text(self.library.nvmlDeviceGetUUID, member) if member else None
            if uuid is None:
                continue
            profile = re.search(
                r"MIG (\S+)", self.text(self.library.nvmlDeviceGetName, member) or ""
            )
            memory = self.ask(self.library.nvmlDeviceGetMemoryInfo, member)
            found.append(
                Slice(
                    uuid=uuid,
                    profile=profile[1] if profile else None,
                    memory_total_mib=mib_from_bytes(memory.total) if memory else None,
                    memory_free_mib=mib_from_bytes(memory.free) if memory else None,
                )
            )
        return tuple(found)

    def processes(self, handle: Any) -> tuple[Process, ...]:
        """Processes that hold memory, compute and graphics, each once."""
        found: dict[int, Process] = {}
        for function in (
            self.library.nvmlDeviceGetComputeRunningProcesses,
            self.library.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for entry in self.ask(function, handle) or ():
                found[entry.pid] = Process(
                    pid=entry.pid,
                    name=self.process_name(entry.pid),
                    memory_mib=mib_from_bytes(entry.usedGpuMemory),
                )
        return tuple(found[pid] for pid in sorted(found))

    def process_name(self, pid: int) -> str | None:
        """The name of a process; NVML numbers them as the host does, not as a container does."""
        return None if self.host.container else self.access.read(f"/proc/{pid}/comm")

    def health(self, handle: Any) -> Health:
        library = self.library
        reasons = []
        errors = self.ask(
            library.nvmlDeviceGetTotalEccErrors,
            handle,
            library.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            library.NVML_VOLATILE_ECC,
        )
        if errors:
            reasons.append(f"{errors} uncorrected ECC error(s) since the driver was loaded")
        pending = self.ask(library.nvmlDeviceGetRetiredPagesPendingStatus, handle)
        if pending == library.NVML_FEATURE_ENABLED:
            reasons.append("memory pages wait for retirement: reset the GPU")
        rows = self.ask(library.nvmlDeviceGetRemappedRows, handle)
        if rows and rows[3]:
            reasons.append("a row of memory could not be remapped: replace the GPU")
        elif rows and rows[2]:
            reasons.append("rows of memory wait for remapping: reset the GPU")
        bits = self.ask(library.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0
        return degraded(reasons + throttling(bits))

    def links(self, handles: dict[int, Any]) -> tuple[Link, ...]:
        """NVLink connections, direct or through NVSwitch, between every pair of whole GPUs."""
        ends = {index: self.nvlink_ends(handle) for index, handle in handles.items()}
        found = []
        for a, b in combinations(sorted(handles), 2):
            count = ends[a].towards(ends[b])
            if self.peers(handles[a], handles[b], count > 0):
                found.append(Link(a=a, b=b, kind="nvlink", count=count or None))
        return tuple(found)

    def peers(self, a: Any, b: Any, unless_told: bool) -> bool:
        """Whether memory can be reached over NVLink; ``unless_told`` where NVML cannot say."""
        library = self.library
        try:
            status = library.nvmlDeviceGetP2PStatus(a, b, library.NVML_P2P_CAPS_INDEX_NVLINK)
        except library.NVMLError:
            return unless_told
        return bool(status == library.NVML_P2P_STATUS_OK)

    def nvlink_ends(self, handle: Any) -> _NvlinkEnds:
        library = self.library
        ends = _NvlinkEnds(own=None, remote=[], switch=0)
        try:
            ends.own = self.pci(handle)
            for number in range(library.NVML_NVLINK_MAX_LINKS):
                if self.ask(library.nvmlDeviceGetNvLinkState, handle, number) != 1:
                    continue
                kind = self.ask(library.nvmlDeviceGetNvLinkRemoteDeviceType, handle, number)
                if kind == library.NVML_NVLINK_DEVICE_TYPE_SWITCH:
                    ends.switch += 1
                    continue
                remote = self.ask(library.nvmlDeviceGetNvLinkRemotePciInfo, handle, number)
                ends.remote.append(_bus_id(remote) if remote is not None else None)
        except library.NVMLError_GpuIsLost:
            pass  # a GPU that is lost meanwhile has no links
        return ends

    def host_facts(self) -> dict[str, str]:
        driver = self.ask(self.library.nvmlSystemGetDriverVersion)
        cuda = self.ask(self.library.nvmlSystemGetCudaDriverVersion)
        facts = {}
        if driver:
            facts["driver_version"] = driver.decode() if isinstance(driver, bytes) else driver
        if cuda:
            facts["cuda_driver_version"] = f"{cuda // 1000}.{cuda % 1000 // 10}"
        return facts


@dataclass
class _NvlinkEnds:
    """Where the active NVLinks of one GPU lead: to GPUs, by PCI address, and into switches."""

    own: str | None
    remote: list[str | None]
    switch: int

    def towards(self, other: _NvlinkEnds) -> int:
        """The number of links to ``other``; through switches, what the narrower side has."""
        direct = self.remote.count(other.own) if other.own else 0
        return direct or min(self.switch, other.switch)


def _bus_id(info: Any) -> str | None:
    raw = info.busId
    return pci_address(raw.decode(errors="replace") if isinstance(raw, bytes) else raw)
