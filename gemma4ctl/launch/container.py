"""The few docker commands that launching needs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

Docker = Callable[..., "subprocess.CompletedProcess[str]"]

DOCKER_TIMEOUT_S = 30.0
NO_CLIENT = 127
NOT_INSTALLED = "docker is not installed"


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``docker WORDS``; a missing client, a hang or a failure is a non-zero return code."""
    client = shutil.which("docker")
    command: Sequence[str] = [client or "docker", *words]
    if client is None:
        return subprocess.CompletedProcess(command, NO_CLIENT, "", NOT_INSTALLED)
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOCKER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 124, "", str(error))


def daemon_info(run: Docker = docker) -> dict[str, Any] | str:
    """What the docker daemon says of itself (``docker info``), or why it does not answer."""
    answer = run("info", "--format", "{{json .}}")
    try:
        info = json.loads(answer.stdout)
    except ValueError:
        info = None
    errors = info.get("ServerErrors") if isinstance(info, dict) else None
    if answer.returncode == 0 and isinstance(info, dict) and not errors:
        return info
    said = "; ".join(errors) if errors else answer.stderr.strip()
    return said.splitlines()[-1] if said else "the docker daemon does not answer"


def daemon_remedy(said: str) -> str:
    """What makes docker answer that did not: ``said`` is what :func:`daemon_info` returned."""
    if said == NOT_INSTALLED:
        return "install docker with the NVIDIA Container Toolkit (AMD: the amdgpu driver)"
    if "permission denied" in said.lower():
        return "join the group docker, then log in again: sudo usermod -aG docker $USER"
    return "start docker: sudo systemctl start docker"


def container_exists(name: str) -> bool:
    """Whether a container called ``name`` exists, running or not."""
    return docker("container", "inspect", "--format", "{{.Id}}", name).returncode == 0


def remove_container(name: str) -> None:
    """End and remove the container called ``name``, if it is there."""
    docker("rm", "--force", name)
