"""The few docker commands that launching needs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

DOCKER_TIMEOUT_S = 30.0


def docker(*words: str, timeout_s: float = DOCKER_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run ``docker WORDS``; a missing client, a hang or a failure is a non-zero return code."""
    client = shutil.which("docker")
    command: Sequence[str] = [client or "docker", *words]
    if client is None:
        return subprocess.CompletedProcess(command, 127, "", "docker is not installed")
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 124, "", str(error))


def container_exists(name: str) -> bool:
    """Whether a container called ``name`` exists, running or not."""
    return docker("container", "inspect", "--format", "{{.Id}}", name).returncode == 0


def remove_container(name: str) -> None:
    """End and remove the container called ``name``, if it is there."""
    docker("rm", "--force", name)
