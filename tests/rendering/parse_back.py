"""Reads each output form back into what it would run, independently of the code that wrote it."""

from __future__ import annotations

import argparse
import csv
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

import yaml

ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass
class Parsed:
    """What a form says. ``mounts``: source -> (target, read only); volumes by name."""

    argv: list[str]
    env: dict[str, str]
    env_names: set[str] = field(default_factory=set)
    image: str | None = None
    gpus: list[str] | int | None = None
    devices: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    mounts: dict[str, tuple[str, bool]] = field(default_factory=dict)
    publish: tuple[str, int, int] | None = None
    limits: dict[str, Any] = field(default_factory=dict)


def without_continuations(text: str) -> str:
    """``text`` with each backslash-newline outside quotes removed, as a POSIX shell does first."""
    kept, quote, position = "", "", 0
    while position < len(text):
        if not quote and text.startswith("\\\n", position):
            position += 2
            continue
        character = text[position]
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        kept += character
        position += 1
    return kept


def split_shell(text: str) -> list[str]:
    return shlex.split(without_continuations(text))


def from_shell(text: str) -> Parsed:
    words = split_shell(text)
    env = {}
    while ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    return Parsed(argv=words, env=env)


def from_docker(argv: list[str]) -> Parsed:
    assert argv[:2] == ["docker", "run"]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for flag in ("--rm", "--init"):
        parser.add_argument(flag, action="store_true", required=True)
    for flag in ("device", "group-add", "security-opt", "cap-drop", "cap-add", "ulimit", "env"):
        parser.add_argument(f"--{flag}", action="append", default=[])
    for flag in ("mount", "volume"):
        parser.add_argument(f"--{flag}", action="append", default=[])
    for flag in ("gpus", "shm-size", "stop-timeout", "publish", "name"):
        parser.add_argument(f"--{flag}")
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args(argv[2:])
    address, host_port, port = given.publish.rsplit(":", 2)
    return Parsed(
        argv=given.command,
        env=dict(entry.split("=", 1) for entry in given.env if "=" in entry),
        env_names={entry for entry in given.env if "=" not in entry},
        image=given.image,
        gpus=_docker_gpus(given.gpus),
        devices=given.device,
        groups=given.group_add,
        mounts={**_volumes(given.volume), **_mounts(given.mount)},
        publish=(address.strip("[]"), int(host_port), int(port)),
        limits={
            "security": given.security_opt,
            "drop": given.cap_drop,
            "add": given.cap_add,
            "shm": given.shm_size,
            "ulimits": {k: int(v) for k, v in (u.split("=") for u in given.ulimit)},
            "stop": f"{given.stop_timeout}s",
        },
    )


def _docker_gpus(value: str | None) -> list[str] | int | None:
    if value is None:
        return None
    if value.isdigit():
        return int(value)
    (record,) = csv.reader([value])
    (ids,) = [entry.removeprefix("device=") for entry in record]
    return ids.split(",")


def _volumes(values: list[str]) -> dict[str, tuple[str, bool]]:
    pairs = [value.split(":") for value in values]
    assert all(len(pair) == 2 for pair in pairs), "an ambiguous --volume"
    return {source: (target, False) for source, target in pairs}


def _mounts(values: list[str]) -> dict[str, tuple[str, bool]]:
    found = {}
    for value in values:
        (record,) = csv.reader(value.splitlines(keepends=True), strict=True)
        options = dict(entry.split("=", 1) for entry in record if "=" in entry)
        assert options["type"] == "bind"
        found[options["source"]] = (options["target"], "readonly" in record)
    return found


def interpolated(value: Any) -> Any:
    """``value`` after Compose's interpolation; a lone ``$`` would be a variable and fails."""
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    if isinstance(value, str):
        assert "$" not in value.replace("$$", ""), f"interpolated: {value!r}"
        return value.replace("$$", "$")
    return value


def from_compose(text: str) -> Parsed:
    document = interpolated(yaml.safe_load(text))
    (service,) = document["services"].values()
    env = service["environment"]
    (port,) = service["ports"]
    mounts = {}
    for mount in service["volumes"]:
        source = mount["source"]
        if mount["type"] == "volume":
            source = document["volumes"][source]["name"]
        mounts[source] = (mount["target"], mount.get("read_only", False))
    for secret in service.get("secrets", []):
        mounts[document["secrets"][secret["source"]]["file"]] = (secret["target"], True)
    reserved = service.get("deploy", {}).get("resources", {}).get("reservations", {})
    gpus = None
    for device in reserved.get("devices", []):
        assert device["driver"] == "nvidia"
        assert device["capabilities"] == ["gpu"]
        gpus = device.get("device_ids", device.get("count"))
    devices = [entry.split(":") for entry in service.get("devices", [])]
    assert all(source == target for source, target in devices)
    return Parsed(
        argv=service["command"],
        env={name: value for name, value in env.items() if value is not None},
        env_names={name for name, value in env.items() if value is None},
        image=service["image"],
        gpus=gpus,
        devices=[source for source, _ in devices],
        groups=service.get("group_add", []),
        mounts=mounts,
        publish=(port["host_ip"], int(port["published"]), port["target"]),
        limits={
            "security": service["security_opt"],
            "drop": service["cap_drop"],
            "add": service.get("cap_add", []),
            "shm": service["shm_size"],
            "ulimits": service["ulimits"],
            "stop": service["stop_grace_period"],
        },
    )
