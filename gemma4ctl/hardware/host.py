"""Facts about the machine around the GPUs, from ``/proc``, cgroups and package metadata."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.inventory import Host
from gemma4ctl.hardware.values import mib_from_bytes, whole

PACKAGES = (
    "sglang",
    "torch",
    "transformers",
    "sglang-kernel",
    "sgl-kernel",
    "flashinfer-python",
)
_CGROUP = "/sys/fs/cgroup"
_NUMA_NODES = "/sys/devices/system/node"


@dataclass
class _Facts:
    """Values of the host record with their sources, while they are being collected."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, value: int | str | None, source: str) -> None:
        if value is not None:
            self.values[name] = value
            self.sources[name] = source

    def limit(self, name: str, value: int | None, source: str) -> None:
        """Lower ``name`` to ``value`` where that is less, or was unknown."""
        current = self.values.get(name)
        if value is not None and (not isinstance(current, int) or value < current):
            self.put(name, value, source)


def read_host(access: Access, environ: Mapping[str, str]) -> Host:
    """The host record without the GPU driver's versions, which come with the GPUs."""
    facts = _Facts()
    facts.put("cpu_architecture", access.machine or None, "uname")
    _read_memory(access, facts)
    _read_shared_memory(access, facts)
    container, evidence = _container(access, environ)
    facts.put("container", container, evidence)
    packages = {
        name: version for name in PACKAGES if (version := access.package_version(name)) is not None
    }
    if packages:
        facts.sources["packages"] = "package metadata"
    return Host(**facts.values, packages=packages, sources=facts.sources)


def _read_memory(access: Access, facts: _Facts) -> None:
    sizes = _meminfo(access.read("/proc/meminfo") or "")
    total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
    facts.put("ram_total_mib", total, "/proc/meminfo")
    facts.put("ram_available_mib", available, "/proc/meminfo")
    gpu_total, gpu_free = _gpu_memory_nodes(access)
    if gpu_total and total and available:
        facts.limit("ram_total_mib", total - gpu_total, _NUMA_NODES)
        facts.limit("ram_available_mib", max(available - gpu_free, 0), _NUMA_NODES)
    facts.put("swap_total_mib", sizes.get("SwapTotal"), "/proc/meminfo")
    for folder in _cgroup_folders(access):
        limit = mib_from_bytes(access.read(f"{folder}/memory.max"))
        facts.limit("ram_total_mib", limit, f"{folder}/memory.max")
        if limit is not None:
            used = _cgroup_used_mib(access, folder)
            facts.limit("ram_available_mib", max(limit - used, 0), f"{folder}/memory.current")
        swap = mib_from_bytes(access.read(f"{folder}/memory.swap.max"))
        facts.limit("swap_total_mib", swap, f"{folder}/memory.swap.max")
    old = f"{_CGROUP}/memory/memory.limit_in_bytes"
    facts.limit("ram_total_mib", mib_from_bytes(access.read(old)), old)


def _gpu_memory_nodes(access: Access) -> tuple[int, int]:
    """Total and free MiB of the NUMA nodes without CPUs on an arm64 host.

    Grace hosts show each GPU's memory as such a node, and ``/proc/meminfo`` counts it as RAM.
    """
    total = free = 0
    if access.machine != "aarch64":
        return total, free
    for folder in access.path(_NUMA_NODES).glob("node[0-9]*"):
        if access.read(folder / "cpulist") == "":
            text = access.read(folder / "meminfo") or ""
            sizes = _meminfo(re.sub(r"^Node \d+ ", "", text, flags=re.MULTILINE))
            total += sizes.get("MemTotal", 0)
            free += sizes.get("MemFree", 0)
    return total, free


def _meminfo(text: str) -> dict[str, int]:
    """The fields of ``/proc/meminfo`` in MiB."""
    lines = re.findall(r"^(\w+):[ \t]+(\d{1,18}) kB$", text, re.MULTILINE)
    return {name: int(kib) // 1024 for name, kib in lines}


def _cgroup_folders(access: Access) -> list[str]:
    """The folders of this process's cgroup (version 2) and its parents, innermost first."""
    match = re.search(r"^0::(/.*)$", access.read("/proc/self/cgroup") or "", re.MULTILINE)
    own = PurePosixPath(match.group(1)) if match else PurePosixPath("/")
    return [f"{_CGROUP}{folder}".rstrip("/") for folder in (own, *own.parents)]


def _cgroup_used_mib(access: Access, folder: str) -> int:
    """Memory in use that cannot be dropped: the current charge less inactive file cache."""
    current = whole(access.read(f"{folder}/memory.current")) or 0
    stat = access.read(f"{folder}/memory.stat") or ""
    cache = re.search(r"^inactive_file (\d{1,18})$", stat, re.MULTILINE)
    return mib_from_bytes(max(current - int(cache.group(1) if cache else 0), 0)) or 0


def _read_shared_memory(access: Access, facts: _Facts) -> None:
    try:
        total = shutil.disk_usage(access.path("/dev/shm")).total  # noqa: S108 - its size is asked
    except OSError:
        return
    facts.put("shm_total_mib", mib_from_bytes(total), "/dev/shm")  # noqa: S108


def _container(access: Access, environ: Mapping[str, str]) -> tuple[str | None, str]:
    """The kind of container this process runs in, and what gave it away."""
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes", "KUBERNETES_SERVICE_HOST"
    for name in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        if environ.get(name):
            return "apptainer", name
    if access.path("/.dockerenv").exists():
        return "docker", "/.dockerenv"
    if access.path("/run/.containerenv").exists():
        return "podman", "/run/.containerenv"
    for kind, source in (
        (environ.get("container"), "container"),
        (access.read("/run/systemd/container"), "/run/systemd/container"),
    ):
        if kind:
            return kind, source
    match = re.search(
        r"(docker|kubepods|containerd|lxc|libpod)", access.read("/proc/1/cgroup") or ""
    )
    names = {"kubepods": "kubernetes", "libpod": "podman"}
    return (names.get(match[1], match[1]), "/proc/1/cgroup") if match else (None, "")
