"""Checks of the host: port, memory, shared memory, disk."""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from gemma4ctl.hardware.inventory import Host
from gemma4ctl.launch.preflight.check import Check, fail, gib, ok, warn
from gemma4ctl.launch.preflight.needs import MIB, Needs

# NCCL moves data between ranks through shared memory; containers get 64 MiB unless told.
SHARED_MEMORY_MIB = 1024


def bind_error(host: str, port: int) -> OSError | None:
    """Why ``host:port`` cannot be listened on; None when it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def check_port(
    needs: Needs, *, error_of: Callable[[str, int], OSError | None] = bind_error
) -> Check:
    """The server's port is free on the address it binds."""
    name, needed = "port", f"{needs.host}:{needs.port} free"
    error = error_of(needs.host, needs.port)
    if error is None:
        return ok(name, "free", needed)
    remedies = {
        errno.EADDRINUSE: "choose another --port, or stop its user "
        f"(`ss -ltnp 'sport = :{needs.port}'`)",
        errno.EADDRNOTAVAIL: "use an address of this machine: --host 127.0.0.1 or 0.0.0.0",
        errno.EACCES: "ports below 1024 need privileges: choose another --port",
    }
    remedy = remedies.get(error.errno or 0, "use --host 127.0.0.1 and another --port")
    return fail(name, error.strerror or str(error), needed, remedy)


def check_memory(needs: Needs, host: Host) -> Check:
    """RAM and swap hold the largest weights file, which is mapped as a whole."""
    name, shard = "host memory", needs.largest_shard_bytes
    if not needs.weights or shard is None or host.ram_total_mib is None:
        return ok(name, _memory_text(host), "no known limit")
    needed = f"{gib(shard / MIB)} of RAM and swap for the largest weights file"
    if host.ram_total_mib + (host.swap_total_mib or 0) >= shard / MIB:
        return ok(name, _memory_text(host), needed)
    return fail(name, _memory_text(host), needed, "add RAM or swap, or use a smaller checkpoint")


def _memory_text(host: Host) -> str:
    if host.ram_total_mib is None:
        return "unknown"
    return f"{gib(host.ram_total_mib)} RAM, {gib(host.swap_total_mib or 0)} swap"


def check_shared_memory(needs: Needs, host: Host) -> Check:
    """Ranks on several GPUs have room in ``/dev/shm``; docker gets its own by flag."""
    name = "shared memory"
    found = "unknown" if host.shm_total_mib is None else gib(host.shm_total_mib)
    if needs.runtime == "docker" or len(needs.units) < 2 or host.shm_total_mib is None:
        return ok(name, found, "no limit for one GPU or a container with --ipc=host")
    needed = f"{gib(SHARED_MEMORY_MIB)} in /dev/shm for {len(needs.units)} GPUs"
    if host.shm_total_mib >= SHARED_MEMORY_MIB:
        return ok(name, found, needed)
    return fail(
        name,
        found,
        needed,
        "start this container with --ipc=host or --shm-size 32g, "
        "or `mount -o remount,size=32G /dev/shm`",
    )


def free_bytes(folder: Path) -> int | None:
    """Free space of the file system that ``folder`` is or will be on; None when unknown."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    try:
        return shutil.disk_usage(existing).free if existing else None
    except OSError:
        return None


def check_disk(
    download_bytes: int, cache: Path, *, free: Callable[[Path], int | None] = free_bytes
) -> Check:
    """The cache has room for what will be downloaded."""
    name, available = "disk", free(cache)
    if not download_bytes:
        return ok(name, "nothing to download", "no space")
    needed = f"{gib(download_bytes / MIB)} in {cache}"
    if available is None:
        return warn(name, "unknown", needed, "check the free space yourself")
    if available >= download_bytes:
        return ok(name, f"{gib(available / MIB)} free", needed)
    return fail(
        name,
        f"{gib(available / MIB)} free",
        needed,
        "free space, or set HF_HOME to a folder on a larger disk",
    )
