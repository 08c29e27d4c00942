"""The parts of a report, each as plain data. A part that breaks raises; the report says so."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemma4ctl.doctor.identity import is_secret
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.amd import amd_smi, kfd, rocm_smi, sysfs
from gemma4ctl.hardware.detect import detect
from gemma4ctl.hardware.host import PACKAGES
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.hardware.nvidia import nvidia_smi
from gemma4ctl.launch.container import Docker, daemon_info
from gemma4ctl.launch.install import SGLangInstall
from gemma4ctl.launch.logfile import log_folder
from gemma4ctl.settings import PREFIX, Settings

if TYPE_CHECKING:
    from gemma4ctl.profiles.table import Profiles

MORE_PACKAGES = ("triton", "amdsmi", "nvidia-ml-py", "pydantic", "typer", "rich")
LOG_LINES = 100
LOG_BYTES = 64 * 1024  # read from the end of a log
LOG_START_BYTES = 256 * 1024  # of its start, where SGLang prints its arguments

_RELEVANT = re.compile(
    r"(CUDA|NVIDIA|ROCR|HIP|HSA|AMD|NCCL|RCCL|SGLANG|SGL|TORCH|PYTORCH|TRITON|FLASHINFER|HF"
    r"|HUGGINGFACE|HUGGING_FACE|TRANSFORMERS|TOKENIZERS|OMP|PYTHON|LD|XDG|CONDA|DOCKER"
    r"|KUBERNETES_SERVICE|SLURM|GEMMA4CTL)_.*"
    r"|PYTHONPATH|VIRTUAL_ENV|https?_proxy|no_proxy|container|NO_COLOR|TERM",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r".*_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|CUDA_HOME|NVIDIA_DRIVER_CAPABILITIES|NCCL_[A-Z_]+"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|HF_HOME|HF_HUB_CACHE|HF_ENDPOINT|XDG_[A-Z]+_HOME|PYTHONPATH"
    r"|VIRTUAL_ENV|TERM|container"
)
_SIMPLE_VALUE = re.compile(r"-?\d{1,9}|true|false|yes|no|on|off|none|auto", re.IGNORECASE)


def system(inventory: Inventory | None) -> dict[str, Any]:
    """Python, operating system, and the container that detection found."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "container": inventory.host.container if inventory else None,
    }


def inventory(
    environment: Mapping[str, str],
    access: Access,
    profiles: Profiles | None,
    install: SGLangInstall | None,
) -> Inventory:
    """The identified inventory, with the SGLang that ``serve`` would run, as suggest sees it."""
    from gemma4ctl.hardware.identify import identify

    found = detect(environment, access)
    packages = {name: text for name, text in found.host.packages.items() if name != "sglang"}
    if install and install.release:
        packages["sglang"] = install.release
    host = found.host.model_copy(update={"packages": packages})
    found = found.model_copy(update={"host": host})
    return identify(found, profiles) if profiles else found


def ask_nvidia_tools(access: Access, inventory: Inventory) -> None:
    """Run what ``nvidia-smi`` is asked where NVML is missing, so that ``access`` records it."""
    nvidia_smi.read(access, inventory.host)


def ask_amd_tools(access: Access) -> None:
    """Read every AMD source that needs no library, so that ``access`` records it."""
    amd_smi.read(access)
    rocm_smi.read(access)
    sysfs.read(access, kfd.read(access))


def packages(access: Access) -> dict[str, str]:
    """The versions installed beside gemma4ctl; packages that are not installed are left out."""
    names = (*PACKAGES, *MORE_PACKAGES)
    return {name: text for name in names if (text := access.package_version(name))}


def sglang(install: SGLangInstall | None) -> dict[str, Any] | None:
    """The ``sglang`` that ``serve`` would run; None when there is none."""
    if install is None:
        return None
    return {
        "executable": str(install.executable),
        "python": install.python,
        "versions": install.versions,
    }


def docker(run: Docker) -> dict[str, Any]:
    """The docker client, its daemon, and the runtimes that give GPUs to containers."""
    found: dict[str, Any] = {"client": shutil.which("docker")}
    info = daemon_info(run)
    if isinstance(info, str):
        return {**found, "daemon": None, "problem": info}
    runtimes = sorted(info.get("Runtimes") or {})
    return {
        **found,
        "daemon": info.get("ServerVersion"),
        "runtimes": runtimes,
        "nvidia_runtime": "nvidia" in runtimes,
        "default_runtime": info.get("DefaultRuntime"),
        "cdi_folders": info.get("CDISpecDirs"),
        "storage_driver": info.get("Driver"),
        "cgroup": f"{info.get('CgroupDriver')} v{info.get('CgroupVersion')}",
        "security": info.get("SecurityOptions"),
        "operating_system": info.get("OperatingSystem"),
    }


def environment_names(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that matter to GPUs and SGLang: harmless values, else "set"."""
    return {
        name: value if _is_harmless(name, value) else "set"
        for name, value in sorted(environment.items())
        if _RELEVANT.fullmatch(name)
    }


def _is_harmless(name: str, value: str) -> bool:
    if is_secret(name) or name.startswith(PREFIX):
        return False
    return bool(_HARMLESS.fullmatch(name) or _SIMPLE_VALUE.fullmatch(value))


def settings(found: Settings) -> dict[str, dict[str, Any]]:
    """Option -> value and origin, of what the environment and the option files set."""
    return {
        name: {"value": value, "origin": found.origins[name]}
        for name, value in found.values.items()
    }


def user_table(found: Settings | None) -> Path | None:
    """The user's own profile table: the one that was set, else the default one if it exists."""
    from gemma4ctl.profiles.load import default_user_file

    own = found.get("profiles") if found else None
    default = default_user_file()
    return Path(own) if own else default if default.is_file() else None


def profile_table(profiles: Profiles, overlay: Path | None) -> dict[str, Any]:
    """Which profile table was used."""
    return {
        "hash": f"sha256:{profiles.hash}",
        "overlay": str(overlay) if overlay else None,
        "default_release": profiles.default_release,
    }


def plans(
    inventory: Inventory, profiles: Profiles, settings: Settings | None
) -> list[dict[str, Any]]:
    """What ``suggest`` would plan here for each variant, with the settings that are in force."""
    from gemma4ctl.cli.inputs import RENAMED
    from gemma4ctl.hardware.simulate import default_inventory
    from gemma4ctl.planning.request import Request

    host = inventory if inventory.devices else default_inventory(profiles)
    names = set(Request.model_fields) - _NOT_SET_HERE
    values = {name: settings.get(RENAMED.get(name, name)) for name in names} if settings else {}
    given = {name: value for name, value in values.items() if value is not None}
    return [_plan(Request(model=name, **given), host, profiles) for name in profiles.variants]


_NOT_SET_HERE = {
    "model", "checkpoint", "model_path", "draft_path", "hardware", "gpus", "image",
    "api_key_config", "extra_args", "origins",
}  # fmt: skip


def _plan(request: Any, host: Inventory, profiles: Profiles) -> dict[str, Any]:
    from gemma4ctl.planning.engine import plan

    try:
        made = plan(request, host, profiles)
    except Gemma4ctlError as error:
        return {"variant": request.model, "error": str(error)}
    return {
        "variant": request.model,
        "hardware": f"{made.hardware.gpu_count} x {made.hardware.platform}",
        "source": made.hardware.source,
        "release": made.release,
        "tensor_parallel_size": made.value("tensor_parallel_size"),
        "attention_backend": made.value("attention_backend"),
        "mem_fraction_static": made.value("mem_fraction_static"),
        "warnings": [f"{warning.severity} {warning.code}" for warning in made.warnings],
    }


def serve_log(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The last lines of the newest log that ``serve`` kept; None when there is none."""
    path = _newest_log(environment)
    if path is None:
        return None
    changed = datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.utc)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - LOG_BYTES, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
    cut = size > LOG_BYTES  # the first line is then not whole: it could start within a secret
    return {
        "file": path.name,
        "bytes": size,
        "changed": changed.isoformat(timespec="seconds"),
        "last_lines": "\n".join(lines[cut:][-LOG_LINES:]),
    }


def log_start(environment: Mapping[str, str]) -> str:
    """The start of the newest log; "" when there is none."""
    path = _newest_log(environment)
    if path is None:
        return ""
    with path.open("rb") as file:
        return file.read(LOG_START_BYTES).decode("utf-8", "replace")


def _newest_log(environment: Mapping[str, str]) -> Path | None:
    logs = log_folder(environment).glob("*.log")
    return max(logs, key=lambda path: path.stat().st_mtime, default=None)
