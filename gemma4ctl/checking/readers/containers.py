"""Reads ``docker run`` and its like: the image, what runs in it, ports, environment, devices."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from gemma4ctl.checking.launch import UNNAMED
from gemma4ctl.checking.readers.excerpt import Field

Vendor = Literal["nvidia", "amd", "intel"]

ENGINES = ("docker", "podman", "nerdctl")
# Options of `docker run` and `podman run` that take no value; all others take one.
SWITCHES = frozenset(
    """
    --detach --disable-content-trust --help --init --interactive --no-healthcheck
    --oom-kill-disable --privileged --publish-all --quiet --read-only --replace --rm --rmi
    --sig-proxy --tls-verify --tty --http-proxy --no-hosts --no-hostname --env-host --rootful
    """.split()  # noqa: SIM905 - easier to read and to add to
)
_SHORT_SWITCHES = frozenset("diPqt")
# In the names of images that work with SGLang but are no server.
_BESIDE_SGLANG = re.compile(r"exporter|router|gateway|proxy|client|bench|operator|dashboard|\bui\b")
_NVIDIA_DEVICE = "nvidia.com/gpu"
_CUDA_IMAGE = re.compile(
    r"lmsysorg/sglang(?::(?:v?[\d.]+(?:post\d+)?|latest|dev)(?:-runtime)?$|:\S*-cu\d|$)"
)


class Container(NamedTuple):
    """A container that a command line starts, and the ``command`` it runs."""

    image: str | None
    command: tuple[Field, ...]
    environment: Mapping[str, str | None]
    published: bool | None
    vendor: Vendor | None


class Option(NamedTuple):
    """An option of the engine with its value, "" where it has none."""

    name: str
    value: str
    certain: bool


def container(fields: Sequence[Field]) -> Container | None:
    """The container that ``fields`` start; None where they start none."""
    start = _after_run(fields)
    if start is None:
        return None
    options, rest = _options(fields, start)
    image = fields[rest] if rest < len(fields) else None
    named = image.text if image is not None and image.certain else None
    command = tuple(fields[rest + 1 :])
    entrypoint = _entrypoint(fields[start:rest])
    return Container(
        named,
        (entrypoint, *command) if entrypoint else command,
        _environment(options),
        published(options),
        _vendor(options) or image_vendor(named),
    )


def image_vendor(image: str | None) -> Vendor | None:
    """The GPU vendor that the name of ``image`` tells."""
    if image is None:
        return None
    if "rocm" in image:
        return "amd"
    if "xpu" in image:
        return "intel"
    return "nvidia" if _CUDA_IMAGE.search(image) else None


def serves_sglang(image: str | None) -> bool:
    """Whether ``image`` is one that starts SGLang, by its name."""
    name = (image or "").rpartition("/")[2]
    return "sglang" in (image or "") and not _BESIDE_SGLANG.search(name)


def beyond_loopback(port: str) -> bool:
    """Whether ``port``, as in ``127.0.0.1:30000:30000``, is published beyond the loopback."""
    address = port.rpartition(":")[0].rpartition(":")[0] if port.count(":") > 1 else ""
    try:
        return not ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address != "localhost"


def published(options: Sequence[Option]) -> bool | None:
    """Whether ports are published beyond the loopback; None in the host's own network."""
    if any(o.name in ("--network", "--net") and o.value == "host" for o in options):
        return None
    if any(option.name in ("-P", "--publish-all") for option in options):
        return True
    ports = [o.value for o in options if o.name in ("-p", "--publish")]
    return any(map(beyond_loopback, ports))


def _after_run(fields: Sequence[Field]) -> int | None:
    """The index after ``docker run``, with whatever stands before."""
    for index, field in enumerate(fields):
        if PurePosixPath(field.text).name not in ENGINES:
            continue
        for after in range(index + 1, len(fields)):
            text = fields[after].text
            if text in ("run", "create"):
                return after + 1
            if not text.startswith("-") and text != "container":
                return None
    return None


def _options(fields: Sequence[Field], start: int) -> tuple[list[Option], int]:
    """The engine's options from ``start`` on, and the index of the image."""
    options: list[Option] = []
    index = start
    while index < len(fields) and fields[index].text.startswith("-"):
        field = fields[index]
        index += 1
        name, value, complete = _split(field.text)
        if not complete and index < len(fields):
            value = fields[index].text
            field = field if not field.certain else fields[index]
            index += 1
        options.append(Option(name, value, field.certain))
    return options, index


def _split(text: str) -> tuple[str, str, bool]:
    """Name and value of an option as written, and whether that is all of it."""
    name, equals, value = text.partition("=")
    if text.startswith("--"):
        return name, value, bool(equals) or name in SWITCHES
    letters = text[1:].lstrip("".join(_SHORT_SWITCHES))
    if not letters:
        return ("-P" if "P" in text else text), "", True
    return "-" + letters[0], letters[1:].removeprefix("="), len(letters) > 1


def _entrypoint(fields: Sequence[Field]) -> Field | None:
    """The program of ``--entrypoint``."""
    for index, field in enumerate(fields):
        if field.text == "--entrypoint" and index + 1 < len(fields):
            return fields[index + 1]
        if field.text.startswith("--entrypoint="):
            cut = len("--entrypoint=")
            return field._replace(value=field.value.cut(cut, len(field.text)), span=(-1, -1))
    return None


def _environment(options: Sequence[Option]) -> dict[str, str | None]:
    return dict(_variables(options))


def _variables(options: Sequence[Option]) -> Iterator[tuple[str, str | None]]:
    for option in options:
        if option.name in ("-e", "--env"):
            name, equals, value = option.value.partition("=")
            yield name, value if equals and option.certain else None
        elif option.name == "--env-file":
            yield UNNAMED, None


def _vendor(options: Sequence[Option]) -> Vendor | None:
    """The vendor whose devices the options hand over."""
    for option in options:
        if option.name == "--device" and option.value.startswith("/dev/kfd"):
            return "amd"
        if option.name == "--gpus" or (option.name, option.value) == ("--runtime", "nvidia"):
            return "nvidia"
        if option.name == "--device" and option.value.startswith(_NVIDIA_DEVICE):
            return "nvidia"
    return None
