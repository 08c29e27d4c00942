"""Checks of docker and its access to the GPUs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gemma4ctl.launch.container import daemon_remedy
from gemma4ctl.launch.preflight.check import Check, fail, ok, warn
from gemma4ctl.launch.preflight.needs import Needs

_NVIDIA_TOOLS = ("nvidia-container-runtime", "nvidia-ctk", "nvidia-container-cli")
_AMD_DEVICES = (Path("/dev/kfd"), Path("/dev/dri"))


def check_daemon(info: dict[str, Any] | str) -> Check:
    """The docker daemon answers."""
    name, needed = "docker", "a docker daemon that answers this user"
    if isinstance(info, dict):
        return ok(name, f"docker {info.get('ServerVersion', '?')}", needed)
    return fail(name, info, needed, f"{daemon_remedy(info)}; --runtime local runs without")


def check_gpu_access(
    needs: Needs,
    info: dict[str, Any],
    *,
    which: Callable[[str], str | None] = shutil.which,
    exists: Callable[[Path], bool] = Path.exists,
) -> Check:
    """Docker can give a container the GPUs."""
    name = "container GPUs"
    if any(unit.vendor == "amd" for unit in needs.units):
        absent = [str(path) for path in _AMD_DEVICES if not exists(path)]
        needed = "/dev/kfd and /dev/dri"
        if absent:
            return fail(name, f"no {' and no '.join(absent)}", needed, "load the amdgpu driver")
        return ok(name, "there", needed)
    needed = "the NVIDIA Container Toolkit"
    runtimes = info.get("Runtimes") or {}
    devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    if "nvidia" in runtimes or any(device.startswith("nvidia.com/gpu") for device in devices):
        return ok(name, "known to docker", needed)
    tool = next((tool for tool in _NVIDIA_TOOLS if which(tool)), None)
    if tool:
        return ok(name, f"{tool} is installed", needed)
    return fail(
        name,
        "not installed",
        needed,
        "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker`, "
        "and restart docker",
    )


def check_isolation(info: dict[str, Any]) -> Check:
    """The daemon maps users as usual, so that mounted caches are writable."""
    name, needed = "docker users", "no user namespace"
    options = " ".join(map(str, info.get("SecurityOptions") or []))
    mode = next((mode for mode in ("rootless", "userns") if f"name={mode}" in options), None)
    if mode is None:
        return ok(name, "no user namespace", needed)
    return warn(
        name,
        f"docker runs with {mode}",
        needed,
        "give the mapped user access to the cache folders; "
        "rootless GPUs need no-cgroups in nvidia-container-runtime's config.toml",
    )
