"""AMD GPUs through ``amd-smi ... --json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.amd.amdsmi import graphics_version
from gemma4ctl.hardware.amd.assemble import Answer, Gpu
from gemma4ctl.hardware.amd.json_output import ask, inner, records
from gemma4ctl.hardware.inventory import Health, Process
from gemma4ctl.hardware.values import (
    degraded,
    known,
    mib_from_quantity,
    pci_address,
    whole,
)

SOURCE = "amd-smi"
_HEALTH_UNKNOWN = Health(status="unknown", reasons=("error counters cannot be read",))


def read(access: Access) -> Answer:
    """Every GPU that ``amd-smi list`` or ``amd-smi static`` names."""
    answers = {
        name: ask(access, ["amd-smi", *arguments, "--json"])
        for name, arguments in (("list", ["list"]), ("static", ["static"]))
    }
    if not any(answers.values()):
        return Answer("cli", SOURCE)
    for name, arguments in (
        ("metric", ["metric", "--mem-usage", "--ecc"]),
        ("process", ["process"]),
        ("topology", ["topology"]),
    ):
        answers[name] = ask(access, ["amd-smi", *arguments, "--json"])
    return parse(answers)


def parse(answers: Mapping[str, Any]) -> Answer:
    """The answers of ``list``, ``static``, ``metric``, ``process`` and ``topology``, joined."""
    by_gpu: dict[int, dict[str, Mapping[str, Any]]] = {}
    for name, value in answers.items():
        for record in records(value):
            number = whole(record.get("gpu"))
            if number is not None and name in ("list", "static"):
                by_gpu.setdefault(number, {})[name] = record
            elif number in by_gpu:
                by_gpu[number][name] = record
    numbers = sorted(by_gpu)
    gpus = tuple(_gpu(by_gpu[number]) for number in numbers)
    driver = next(
        (
            version
            for parts in by_gpu.values()
            if (version := known(inner(parts, "static", "driver", "version")))
        ),
        None,
    )
    return Answer(
        "cli", SOURCE, gpus, _links(by_gpu, numbers), {"driver_version": driver} if driver else {}
    )


def _gpu(parts: Mapping[str, Mapping[str, Any]]) -> Gpu:
    static, listed = parts.get("static", {}), parts.get("list", {})
    partition = inner(static, "partition")
    partition = partition if isinstance(partition, Mapping) else {}
    total = mib_from_quantity(inner(parts, "metric", "mem_usage", "total_vram"))
    return Gpu(
        name=known(inner(static, "asic", "market_name")),
        device_id=whole(inner(static, "asic", "device_id")),
        architecture=graphics_version(inner(static, "asic", "target_graphics_version")),
        unique_id=whole(inner(static, "asic", "asic_serial")) or None,
        address=pci_address(inner(static, "bus", "bdf")) or pci_address(listed.get("bdf")),
        node=whole(listed.get("node_id")),
        total_mib=total or mib_from_quantity(inner(static, "vram", "size")),
        used_mib=mib_from_quantity(inner(parts, "metric", "mem_usage", "used_vram")),
        compute_partition=known(partition.get("accelerator_partition"))
        or known(partition.get("compute_partition")),
        memory_partition=known(partition.get("memory_partition")),
        processes=_processes(inner(parts, "process", "process_list")),
        health=_health(inner(parts, "metric", "ecc", "total_uncorrectable_count")),
    )


def _health(uncorrected: Any) -> Health:
    count = whole(uncorrected)
    if count is None:
        return _HEALTH_UNKNOWN
    return degraded([f"{count} uncorrected ECC error(s)"] if count else [])


def _processes(entries: Any) -> tuple[Process, ...]:
    """Processes that hold VRAM; the tool also lists some that hold none."""
    found = []
    for entry in entries if isinstance(entries, list) else ():
        info = inner(entry, "process_info")
        pid = whole(inner(info, "pid"))
        held = mib_from_quantity(inner(info, "memory_usage", "vram_mem"), "b")
        if pid is not None and held:
            found.append(Process(pid=pid, name=known(inner(info, "name")), memory_mib=held))
    return tuple(found)


def _links(
    by_gpu: Mapping[int, Mapping[str, Mapping[str, Any]]], numbers: list[int]
) -> tuple[tuple[int, int], ...]:
    pairs = []
    for number in numbers:
        links = inner(by_gpu[number], "topology", "links")
        for link in links if isinstance(links, list) else ():
            other = whole(inner(link, "gpu"))
            if other is None or other not in by_gpu or other <= number:
                continue
            if inner(link, "link_type") == "XGMI":
                pairs.append((numbers.index(number), numbers.index(other)))
    return tuple(pairs)
