"""From what an AMD source said to devices: partitions, names, memory and links.

A partitioned card (CPX and the like) appears as several GPUs at functions 0 to 7 of one PCI
address. ROCm 6.4 leaves most fields of the partitions after the first empty and repeats the whole
card's memory for each, so names come from the card and memory from the kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from gemma4ctl.hardware.amd.kfd import Node
from gemma4ctl.hardware.amd.names import INSTINCT
from gemma4ctl.hardware.inventory import Device, Health, Link, Process, Source
from gemma4ctl.hardware.values import Reading, trouble, unreadable

_PARTITIONED = ("DPX", "TPX", "QPX", "CPX")


@dataclass(frozen=True)
class Gpu:
    """One GPU or partition as a source gave it; None where it did not say."""

    name: str | None = None
    device_id: int | None = None
    architecture: str | None = None
    unique_id: int | None = None
    address: str | None = None
    node: int | None = None  # KFD node number
    total_mib: int | None = None
    used_mib: int | None = None
    compute_partition: str | None = None
    memory_partition: str | None = None
    processes: tuple[Process, ...] = ()
    health: Health = field(default_factory=lambda: Health(status="unknown"))

    @property
    def card(self) -> str | None:
        """The PCI address of the card that this GPU is or is a partition of."""
        return f"{self.address[:-1]}0" if self.address else None


@dataclass(frozen=True)
class Answer:
    """What one source said. ``links`` are pairs of positions in ``gpus`` joined by xGMI."""

    source: Source
    tool: str
    gpus: tuple[Gpu, ...] = ()
    links: tuple[tuple[int, int], ...] = ()
    host: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def reading(answer: Answer, nodes: tuple[Node, ...]) -> Reading:
    """The answer as devices, completed and checked against the kernel's nodes."""
    matched = [_node(gpu, nodes) for gpu in answer.gpus]
    gpus = [_completed(gpu, node) for gpu, node in zip(answer.gpus, matched, strict=True)]
    gpus = [_with_card_facts(gpu, gpus) for gpu in gpus]
    order = _order(gpus)
    cards = Counter(gpu.card for gpu in gpus)
    devices = tuple(
        _device(
            index,
            gpus[position],
            matched[position],
            answer.tool,
            partitioned=cards[gpus[position].card] > 1 and gpus[position].card is not None,
        )
        for index, position in enumerate(order)
    )
    links = _links(answer, order) or _kernel_links([matched[position] for position in order])
    problems = (*answer.problems, *trouble(devices))
    return Reading(answer.source, devices, links, problems=problems)


def _node(gpu: Gpu, nodes: tuple[Node, ...]) -> Node | None:
    """The kernel's node of ``gpu``: by number, else by address, else by unique id."""
    for name, value in (
        ("number", gpu.node),
        ("address", gpu.address),
        ("unique_id", gpu.unique_id),
    ):
        found = [node for node in nodes if value is not None and getattr(node, name) == value]
        if len(found) == 1:
            return found[0]
    return None


def _completed(gpu: Gpu, node: Node | None) -> Gpu:
    """``gpu`` with the identity facts that the source left open, from the kernel."""
    if node is None:
        return gpu
    return replace(
        gpu,
        device_id=gpu.device_id or node.device_id,
        architecture=gpu.architecture or node.architecture,
        unique_id=gpu.unique_id or node.unique_id,
        address=gpu.address or node.address,
        node=node.number,
    )


def _with_card_facts(gpu: Gpu, gpus: list[Gpu]) -> Gpu:
    """``gpu`` with what is the same for all partitions of its card, and its name."""
    family = [gpu, *(other for other in gpus if other.card and other.card == gpu.card)]

    def first(name: str) -> Any:
        return next((value for other in family if (value := getattr(other, name))), None)

    device_id = first("device_id")
    return replace(
        gpu,
        device_id=device_id,
        name=first("name") or INSTINCT.get(device_id or 0),
        architecture=first("architecture"),
        compute_partition=first("compute_partition"),
        memory_partition=first("memory_partition"),
    )


def _order(gpus: list[Gpu]) -> list[int]:
    """Positions in KFD order where every node is known, else as the source gave them."""
    numbers = [gpu.node for gpu in gpus]
    known_numbers = [number for number in numbers if number is not None]
    if len(set(known_numbers)) < len(gpus):
        return list(range(len(gpus)))
    return sorted(range(len(gpus)), key=lambda position: known_numbers[position])


def _device(index: int, gpu: Gpu, node: Node | None, tool: str, *, partitioned: bool) -> Device:
    partitioned = partitioned or gpu.compute_partition in _PARTITIONED
    memory = _partition_memory(gpu, node) if partitioned else _memory(gpu)
    return Device(
        index=index,
        vendor="amd",
        name=gpu.name or "AMD GPU",
        uuid=f"GPU-{gpu.unique_id:016x}" if gpu.unique_id and not partitioned else None,
        architecture=gpu.architecture,
        pci_bus_id=gpu.address,
        compute_partition=gpu.compute_partition,
        memory_partition=gpu.memory_partition,
        parent=gpu.card if partitioned else None,
        processes=gpu.processes,
        source=tool,
        **{"health": gpu.health, **memory},
    )


def _memory(gpu: Gpu) -> dict[str, Any]:
    if not gpu.total_mib:
        return {"health": unreadable(f"its memory cannot be read: total {gpu.total_mib}")}
    return {
        "memory_total_mib": gpu.total_mib,
        "memory_free_mib": _free(gpu.total_mib, gpu.used_mib),
    }


def _partition_memory(gpu: Gpu, node: Node | None) -> dict[str, Any]:
    """The kernel's size of the partition; the tool's use only where it means the same memory."""
    if node is None or not node.memory_mib:
        reason = "the kernel does not give the memory of this partition, and tools give the card's"
        return {"health": unreadable(reason)}
    same = gpu.total_mib == node.memory_mib
    return {
        "memory_total_mib": node.memory_mib,
        "memory_free_mib": _free(node.memory_mib, gpu.used_mib) if same else None,
        "sources": {"memory_total_mib": "kfd"},
    }


def _free(total: int, used: int | None) -> int | None:
    return None if used is None or used > total else total - used


def _links(answer: Answer, order: list[int]) -> tuple[Link, ...]:
    index = {position: index for index, position in enumerate(order)}
    pairs = {tuple(sorted((index[a], index[b]))) for a, b in answer.links}
    return tuple(Link(a=a, b=b, kind="xgmi") for a, b in sorted(pairs))


def _kernel_links(nodes: list[Node | None]) -> tuple[Link, ...]:
    found = []
    for (a, first), (b, second) in combinations(enumerate(nodes), 2):
        if first and second and second.number in first.xgmi:
            found.append(Link(a=a, b=b, kind="xgmi"))
    return tuple(found)
