"""The ``docker run`` form, also as the real Docker client understands it.

A stand-in for the Docker daemon answers the client's call that creates a container and keeps the
body, so that no container, image or daemon is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from gemma4ctl.rendering.docker_run import docker_argv, docker_shell
from tests.waiting import PATIENCE_S

from .parse_back import from_docker
from .plans import HOST, PLANS, make


class Daemon(BaseHTTPRequestHandler):
    """Answers the version probe and ``POST /containers/create``."""

    created: list[dict] = []

    def do_HEAD(self) -> None:
        self.answer(200, {})

    def do_GET(self) -> None:
        self.answer(200, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "/containers/create" in self.path:
            self.created.append(json.loads(body))
        self.answer(201, {"Id": "0" * 64, "Warnings": []})

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.47")
        self.send_header("Ostype", "linux")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    Daemon.created = []
    path = str(tmp_path / "docker.sock")
    with socketserver.ThreadingUnixStreamServer(path, Daemon) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"unix://{path}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker client is not installed")
@pytest.mark.parametrize("name", PLANS)
def test_docker_client_understands_it(name: str, daemon: str, tmp_path: Path) -> None:
    argv = docker_argv(PLANS[name], HOST)
    expected = from_docker(argv)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_TOKEN": "hf_secret"}
    subprocess.run(
        ["docker", "--host", daemon, "create", *argv[2:]],
        env=environment,
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    (body,) = Daemon.created
    host = body["HostConfig"]

    assert body["Cmd"] == expected.argv
    assert body["Image"] == expected.image
    env = dict(entry.split("=", 1) for entry in body["Env"] if "=" in entry)
    assert env == {**expected.env, "HF_TOKEN": "hf_secret"}
    assert "hf_secret" not in " ".join(argv)

    mounts = {
        mount["Source"]: (mount["Target"], mount.get("ReadOnly", False))
        for mount in host.get("Mounts") or []
    }
    volumes = dict(bind.split(":") for bind in host["Binds"])
    mounts |= {source: (target, False) for source, target in volumes.items()}
    assert mounts == expected.mounts

    (port,) = host["PortBindings"].items()
    assert port == (
        f"{expected.publish[2]}/tcp",
        [{"HostIp": expected.publish[0], "HostPort": str(expected.publish[1])}],
    )
    assert [device["PathOnHost"] for device in host["Devices"]] == expected.devices
    assert (host["GroupAdd"] or []) == expected.groups
    requests = host["DeviceRequests"] or []
    ids = [device_id for request in requests for device_id in request.get("DeviceIDs") or []]
    count = sum(request.get("Count", 0) for request in requests)
    assert (ids or count or None) == expected.gpus

    assert not host["Privileged"]
    assert host["NetworkMode"] in ("default", "bridge", "")
    assert host["IpcMode"] != "host"
    assert host["ShmSize"] == int(expected.limits["shm"].removesuffix("g")) * 2**30
    assert host["SecurityOpt"] == expected.limits["security"]
    assert host["Init"] is True


def test_container_can_be_named() -> None:
    argv = docker_argv(PLANS["mig-slice"], HOST, name="gemma4")
    assert argv[argv.index("--name") + 1] == "gemma4"
    assert "--name" not in docker_argv(PLANS["mig-slice"], HOST)


def test_ids_stay_one_field() -> None:
    argv = docker_argv(PLANS["h200-26b-mtp-tp2"], HOST)
    assert argv[argv.index("--gpus") + 1] == (
        '"device=GPU-8f2b7c1e-1111-4a4a-8c8c-000000000003,GPU-8f2b7c1e-2222-4a4a-8c8c-000000000005"'
    )


def test_ipv6_address_is_bracketed() -> None:
    argv = docker_argv(make(host="::1", port=8080), HOST)
    assert argv[argv.index("--publish") + 1] == "[::1]:8080:8080"


def test_cache_folder_with_a_colon_is_not_a_volume() -> None:
    host = type(HOST)(hf_home="/data/a:b")
    argv = docker_argv(make(), host)
    assert argv[argv.index("--mount") + 1] == (
        "type=bind,source=/data/a:b,target=/root/.cache/huggingface"
    )


def test_one_option_a_line() -> None:
    lines = docker_shell(PLANS["mi300x-e2b"], HOST).split(" \\\n  ")
    assert lines[0] == "docker run --rm --init"
    assert "lmsysorg/sglang:v0.5.16-rocm720-mi30x sglang serve" in lines
    assert all(line.count(" --") == 0 for line in lines[1:])
