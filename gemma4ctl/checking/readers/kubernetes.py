"""Kubernetes manifests: containers of any kind of object, with their GPUs and reachability."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.checking.launch import UNNAMED
from gemma4ctl.checking.readers import interpolation, limits
from gemma4ctl.checking.readers.containers import Vendor, image_vendor
from gemma4ctl.checking.readers.excerpt import Excerpt
from gemma4ctl.checking.readers.yaml_containers import (
    Declared,
    Kind,
    count,
    image_name,
    known,
    words,
)
from gemma4ctl.checking.readers.yaml_scalars import excerpt
from gemma4ctl.checking.readers.yaml_tree import MASK, Mapping, Node, Scalar, Sequence, mappings

_GPU_RESOURCES: tuple[tuple[str, Vendor], ...] = (
    ("nvidia.com/", "nvidia"),
    ("amd.com/gpu", "amd"),
    ("gpu.intel.com/", "intel"),
)
_PRODUCT_LABELS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
)
OPEN_SERVICES = ("LoadBalancer", "NodePort")


class Pod(NamedTuple):
    """What a pod says for all its containers."""

    labels: dict[str, str]
    host_network: bool = False
    hardware: str | None = None


def is_manifest(root: Node | None) -> bool:
    """Whether ``root`` is a Kubernetes object."""
    return (
        isinstance(root, Mapping)
        and root.get("apiVersion") is not None
        and root.get("kind") is not None
    )


def open_selectors(roots: list[Node | None]) -> list[dict[str, str]]:
    """The pod labels that the Services which the outside can reach select."""
    found = []
    for root in roots:
        for manifest in _objects(root):
            spec = manifest.mapping("spec")
            if manifest.text("kind") == "Service" and spec.text("type") in OPEN_SERVICES:
                found.append(_strings(spec.mapping("selector")))
    return found


def _objects(root: Node | None) -> Iterator[Mapping]:
    """``root``, or the objects of a ``List``."""
    if not isinstance(root, Mapping):
        return
    yield root
    items = root.get("items")
    for entry in items.items if isinstance(items, Sequence) else ():
        if isinstance(entry, Mapping):
            yield entry


def containers(
    root: Node | None,
    text: str,
    selectors: list[dict[str, str]],
    kind: Kind = "kubernetes",
) -> Iterator[tuple[Mapping, Declared]]:
    """Each mapping under ``root`` that says what to run, with the container it is."""
    for node, pod in mappings(root, Pod({}), _pod):
        if node.get("command") or node.get("args"):
            yield node, _container(node, pod, text, selectors, kind)


def _pod(node: Mapping, outer: Pod) -> Pod:
    """What ``node`` adds to what is known of the pod around it."""
    labels = _strings(node.mapping("metadata").mapping("labels"))
    if labels:
        outer = outer._replace(labels=labels)
    if node.text("hostNetwork") == "true":
        outer = outer._replace(host_network=True)
    pinned = hardware(node)
    return outer._replace(hardware=pinned) if pinned else outer


def _container(
    node: Mapping,
    pod: Pod,
    text: str,
    selectors: list[dict[str, str]],
    kind: Kind,
) -> Declared:
    variables = environment(node, text)

    def resolve(value: Excerpt) -> Excerpt:
        return interpolation.kubernetes(value, variables)

    name = image_name(node.get("image"), text)
    vendor, gpus = gpu_resources(node)
    return Declared(
        kind=kind,
        fields=(
            *words(node.get("command"), text, resolve),
            *words(node.get("args"), text, resolve),
        ),
        environment=variables,
        image=name,
        vendor=vendor or image_vendor(name),
        published=_published(node, pod, selectors),
        gpus=gpus,
        hardware=pod.hardware,
    )


def environment(node: Mapping, text: str) -> dict[str, str | None]:
    """The variables that ``env`` and ``envFrom`` of ``node`` set."""
    found: dict[str, str | None] = {UNNAMED: None} if node.get("envFrom") else {}
    env = node.get("env")
    if isinstance(env, Mapping):  # as Helm values have it
        found |= {key.value: _known(value, text) for key, value in env.items()}
    for entry in env.items if isinstance(env, Sequence) else ():
        if isinstance(entry, Mapping) and (name := entry.text("name")):
            given = entry.get("value")
            value = _known(given, text) if given else None
            if isinstance(given, Scalar) and value is not None:
                value = known(interpolation.kubernetes(excerpt(given, text), found))
            found[name] = value
        elif isinstance(entry, Scalar) and MASK in entry.value:
            found[UNNAMED] = None
    limits.step(len(found))
    return found


def _known(node: Node, text: str) -> str | None:
    return known(excerpt(node, text)) if isinstance(node, Scalar) else None


def gpu_resources(node: Mapping) -> tuple[Vendor | None, int | None]:
    """The vendor of the GPUs that ``resources`` asks for, and how many."""
    resources = node.mapping("resources")
    for name in ("limits", "requests"):
        for key, value in resources.mapping(name).items():
            for prefix, vendor in _GPU_RESOURCES:
                if key.value.startswith(prefix):
                    return vendor, count(value) if key.value.endswith("/gpu") else None
    return None, None


# --- hardware


def hardware(node: Mapping) -> str | None:
    """The platform that ``nodeSelector`` or a node affinity term asks for."""
    for label in _PRODUCT_LABELS:
        if product := node.mapping("nodeSelector").text(label):
            return platform(product)
        values = node.get("values")
        if node.text("key") == label and isinstance(values, Sequence) and len(values.items) == 1:
            only = values.items[0]
            return platform(only.value) if isinstance(only, Scalar) else None
    return None


def platform(product: str) -> str | None:
    """The platform that a node label names, its blanks written as dashes; None: no known one."""
    from gemma4ctl.errors import UsageError
    from gemma4ctl.profiles.load import load
    from gemma4ctl.profiles.lookup import platform_name

    spaced = re.sub(r"[-_]", " ", product)
    for spelling in (spaced, product.replace("-", " ", 1)):
        try:
            return platform_name(load(), spelling)
        except UsageError:
            continue
    return None


# --- reachability


def _published(node: Mapping, pod: Pod, selectors: list[dict[str, str]]) -> bool | None:
    """Whether the outside reaches the container; None: ``--host`` decides."""
    if pod.host_network:
        return None
    ports = node.get("ports")
    for entry in ports.items if isinstance(ports, Sequence) else ():
        if isinstance(entry, Mapping) and entry.get("hostPort"):
            return True
    limits.step(len(selectors))
    return any(_selects(selector, pod.labels) for selector in selectors)


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether ``selector`` takes pods with ``labels``; labels that are not known may fit."""
    return all(labels.get(name, value) == value for name, value in selector.items())


def _strings(node: Mapping) -> dict[str, str]:
    return {key.value: value.value for key, value in node.items() if isinstance(value, Scalar)}
