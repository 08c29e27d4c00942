from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.doctor import report
from tests.hardware.recorded import access_to, recorded

HOST = "zeus-gpu-07"
FQDN = f"{HOST}.corp.example.org"
USER = "zoebart"

# What `docker info --format '{{json .}}'` prints, shortened to fields that matter or give away.
DOCKER_INFO = {
    "ID": "0b3f7a55-21b6-4c12-9a8e-0c2d66f0a111",
    "Name": HOST,
    "ServerVersion": "28.1.1",
    "Runtimes": {"runc": {}, "nvidia": {"path": "nvidia-container-runtime"}},
    "DefaultRuntime": "runc",
    "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
    "Driver": "overlay2",
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "SecurityOptions": ["name=seccomp,profile=builtin"],
    "OperatingSystem": "Ubuntu 24.04",
    "HttpProxy": "http://bob:pass-word-1@proxy:3128",
}


def docker_says(info: Any, status: int = 0) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        text = info if isinstance(info, str) else json.dumps(info)
        return subprocess.CompletedProcess(words, status, text, "")

    return run


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A home, a name and a working directory that belong to no real machine."""
    home = tmp_path / "home-of" / USER
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    environment = {"HOME": str(home), "USER": USER, "PATH": ""}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    return environment


@pytest.fixture
def made(tmp_path: Path, machine: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """A report of a recorded host, given by name or as a record."""

    def make(
        host: str | dict[str, Any], environment: dict[str, str] | None = None, docker: Any = None
    ) -> dict[str, Any]:
        record = recorded(host) if isinstance(host, str) else host
        access = access_to(record, tmp_path / "root")
        return report(
            {**machine, **(environment or {})}, access, docker or docker_says(DOCKER_INFO)
        )

    return make
