"""Compose files: what each service runs, with which GPUs, and who can reach it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from gemma4ctl.checking.launch import UNNAMED
from gemma4ctl.checking.readers import interpolation, limits
from gemma4ctl.checking.readers.containers import Vendor, image_vendor
from gemma4ctl.checking.readers.excerpt import Excerpt
from gemma4ctl.checking.readers.yaml_containers import (
    Declared,
    count,
    image_name,
    known,
    words,
)
from gemma4ctl.checking.readers.yaml_scalars import excerpt
from gemma4ctl.checking.readers.yaml_tree import Mapping, Node, Scalar, Sequence


def is_compose(root: Node | None) -> bool:
    """Whether ``root`` is a Compose file."""
    if not isinstance(root, Mapping) or root.get("apiVersion") is not None:
        return False
    services = [value for _, value in root.mapping("services").items()]
    keys = {"image", "build", "command", "entrypoint", "extends"}
    return any(
        isinstance(service, Mapping) and any(key.value in keys for key, _ in service.items())
        for service in services
    )


def containers(root: Mapping, text: str) -> Iterator[tuple[Mapping, Declared]]:
    """Each service with the container it is."""
    for _, service in root.mapping("services").items():
        if isinstance(service, Mapping):
            yield service, _container(service, text)


def _container(service: Mapping, text: str) -> Declared:
    name = image_name(service.get("image"), text, interpolation.compose)
    vendor, gpus = _gpus(service)
    return Declared(
        kind="compose",
        fields=(
            *words(service.get("entrypoint"), text, interpolation.compose),
            *words(service.get("command"), text, interpolation.compose),
        ),
        environment=_environment(service, text),
        image=name,
        vendor=vendor or image_vendor(name),
        published=_published(service, text),
        gpus=gpus,
    )


def _value(scalar: Scalar, text: str) -> Excerpt:
    return interpolation.compose(excerpt(scalar, text))


def _environment(service: Mapping, text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {UNNAMED: None} if service.get("env_file") else {}
    node = service.get("environment")
    if isinstance(node, Mapping):
        for key, value in node.items():
            scalar = isinstance(value, Scalar) and (value.value or value.style)
            found[key.value] = known(_value(value, text)) if scalar else None  # type: ignore[arg-type]
    for entry in node.items if isinstance(node, Sequence) else ():
        if isinstance(entry, Scalar):
            written = _value(entry, text)
            name, equals, _ = written.text.partition("=")
            found[name] = known(written.cut(len(name) + 1, len(written.text))) if equals else None
    limits.step(len(found))
    return found


# --- GPUs


def _gpus(service: Mapping) -> tuple[Vendor | None, int | None]:
    """The vendor of the GPUs that the service asks for, and how many."""
    if any("/dev/kfd" in device for device in _texts(service.get("devices"))):
        return "amd", None
    vendor: Vendor | None = "nvidia" if service.text("runtime") == "nvidia" else None
    reserved = service.mapping("deploy").mapping("resources").mapping("reservations")
    for node in (reserved.get("devices"), service.get("gpus")):
        for device in node.items if isinstance(node, Sequence) else ():
            if isinstance(device, Mapping) and device.text("driver") in (None, "nvidia", "cdi"):
                ids = device.get("device_ids")
                listed = len(ids.items) if isinstance(ids, Sequence) else None
                return "nvidia", count(device.get("count")) or listed
    if isinstance(service.get("gpus"), Scalar):
        return "nvidia", count(service.get("gpus"))
    return vendor, None


# --- reachability


def _published(service: Mapping, text: str) -> bool | None:
    """Whether a port is published beyond the loopback; None: ``--host`` decides."""
    mode = service.text("network_mode")
    if mode == "host":
        return None
    node = service.get("ports")
    answers = [_port(entry, text) for entry in node.items] if isinstance(node, Sequence) else []
    if True in answers or None not in answers:
        return True in answers
    return None


def _port(entry: Node, text: str) -> bool | None:
    """Whether one entry of ``ports`` is reachable from outside; None: its address is unknown."""
    if isinstance(entry, Mapping):
        address = entry.get("host_ip")
        return _beyond_loopback(_value(address, text)) if isinstance(address, Scalar) else True
    if not isinstance(entry, Scalar):
        return None
    mapping = _value(entry, text)
    host, separator, _ = _without_port(mapping.text).rpartition(":")
    if not separator:
        return True if mapping.certain or ":" in mapping.text else None
    return _beyond_loopback(mapping.cut(0, len(host)))


def _without_port(mapping: str) -> str:
    """``ADDRESS:PUBLISHED`` of ``ADDRESS:PUBLISHED:TARGET``."""
    return mapping.rpartition(":")[0]


def _beyond_loopback(address: Excerpt) -> bool | None:
    if not address.certain:
        return None
    try:
        return not ip_address(address.text.strip("[]")).is_loopback
    except ValueError:
        return address.text != "localhost"


def _texts(node: Node | None) -> list[str]:
    """The scalars of a list."""
    items = node.items if isinstance(node, Sequence) else []
    return [entry.value for entry in items if isinstance(entry, Scalar)]
