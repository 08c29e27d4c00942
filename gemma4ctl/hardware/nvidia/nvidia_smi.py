"""NVIDIA GPUs through ``nvidia-smi``, for hosts where NVML's Python binding cannot be used.

The table comes from ``--query-gpu`` CSV, MIG slices from ``-L`` (UUIDs) and ``-q -x`` (memory),
NVLink from ``topo -m``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from xml.etree import ElementTree

from gemma4ctl.hardware.access import Access, Completed
from gemma4ctl.hardware.inventory import Device, Health, Host, Link, Process, Slice
from gemma4ctl.hardware.nvidia import unified
from gemma4ctl.hardware.nvidia.clocks import throttling
from gemma4ctl.hardware.values import (
    Reading,
    degraded,
    known,
    lost,
    mib_from_quantity,
    pci_address,
    trouble,
    unreadable,
    whole,
)

SOURCE = "nvidia-smi"
_BASE = ("index", "name", "uuid", "pci.bus_id", "memory.total", "memory.free", "driver_version")
_NEWER = (
    "compute_cap",
    "mig.mode.current",
    "ecc.errors.uncorrected.volatile.total",
    "retired_pages.pending",
)
_QUERIES = (
    (*_BASE, *_NEWER, "clocks_event_reasons.active"),
    (*_BASE, *_NEWER, "clocks_throttle_reasons.active"),  # its name before driver 535
    _BASE,
)
Row = Mapping[str, str]


def read(access: Access, host: Host) -> Reading:
    """Every GPU that ``nvidia-smi`` lists. That the tool exists does not mean there is a GPU."""
    answer = _query(access)
    if answer is None:
        return Reading("cli")
    rows = parse_table(answer.stdout)
    gone = parse_lost(answer.text)
    if not rows and not gone:
        return Reading("cli", problems=_complaint(answer))
    details = _details(access)
    slices = _slices(access, details) if any(_mig(row) for row in rows) else {}
    processes = _processes(access)
    devices = [
        device(
            row, host, slices.get(row.get("uuid", ""), ()), processes.get(row.get("uuid", ""), ())
        )
        for row in rows
    ]
    taken = {item.index for item in devices}
    free_indices = (index for index in count() if index not in taken)
    devices += [
        Device(
            index=next(free_indices),
            vendor="nvidia",
            name="NVIDIA GPU",
            pci_bus_id=address,
            health=lost(sentence),
            source=SOURCE,
        )
        for address, sentence in gone.items()
    ]
    devices.sort(key=lambda item: item.index)
    whole_gpus = {item.index for item in devices if not item.mig_enabled}
    links = tuple(
        link
        for link in parse_topology(_stdout(access, "topo", "-m"))
        if link.a in whole_gpus and link.b in whole_gpus
    )
    return Reading("cli", tuple(devices), links, _host_facts(rows, details), trouble(devices))


def _query(access: Access) -> Completed | None:
    """The table with every field, or with the older ones where the driver knows no others."""
    answer = None
    for names in _QUERIES:
        answer = access.run(["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv"])
        if answer is None or "not a valid field" not in answer.text:
            break
    return answer


def _complaint(answer: Completed) -> tuple[str, ...]:
    """One sentence when the tool failed; silence when it merely found no GPU."""
    lines = [line.strip() for line in answer.text.splitlines() if line.strip()]
    if answer.status == 0 or not lines or "No devices were found" in answer.text:
        return ()
    return (f"nvidia-smi lists no GPU: {lines[0][:200]}",)


def _stdout(access: Access, *arguments: str) -> str:
    answer = access.run(["nvidia-smi", *arguments])
    return answer.stdout if answer and answer.status == 0 else ""


def parse_table(text: str) -> list[dict[str, str]]:
    """The rows of a ``--query-gpu ... --format=csv`` table, keyed by field.

    Lines that are not rows of the table (warnings, errors) are left out, also a row whose index
    was given before.
    """
    lines = [line for line in text.replace("\0", "").splitlines() if "," in line]
    header: list[str] | None = None
    rows: dict[int, dict[str, str]] = {}
    for cells in csv.reader(lines, skipinitialspace=True, quoting=csv.QUOTE_NONE):
        if header is None:
            if cells[0].strip() == "index":
                header = [re.sub(r" \[.*\]$", "", cell.strip()) for cell in cells]
            continue
        if len(cells) != len(header):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        index = whole(row["index"])
        if index is not None:
            rows.setdefault(index, row)
    return list(rows.values())


def parse_lost(text: str) -> dict[str, str]:
    """PCI address -> complaint, of GPUs whose handle the tool could not get."""
    found = {}
    for line in text.splitlines():
        match = re.search(r"device handle for GPU ?(?:\d+: )?([0-9A-Fa-f:.]+): (.+)", line)
        if match and (address := pci_address(match[1])):
            found[address] = match[2].strip()[:200]
    return found


def device(
    row: Row, host: Host, slices: Sequence[Slice] = (), processes: Sequence[Process] = ()
) -> Device:
    """One row of the table as a device."""
    name = known(row.get("name")) or "NVIDIA GPU"
    fields = _memory(row, name, host)
    fields.setdefault("health", _health(row))
    return Device(
        index=whole(row["index"]) or 0,
        vendor="nvidia",
        name=name,
        uuid=known(row.get("uuid")),
        architecture=_architecture(row),
        pci_bus_id=pci_address(row.get("pci.bus_id")),
        mig_enabled=_mig(row),
        slices=tuple(slices),
        processes=tuple(processes),
        source=SOURCE,
        **fields,
    )


def _memory(row: Row, name: str, host: Host) -> dict[str, Any]:
    if unified.is_integrated(name):
        return unified.memory_fields(host)
    total = mib_from_quantity(row.get("memory.total", ""))
    if not total:
        said = row.get("memory.total", "")
        if "lost" in said.lower():
            return {"health": lost(said.strip("[]"))}
        return {"health": unreadable(f"its memory cannot be read: nvidia-smi says {said!r}")}
    return {
        "memory_total_mib": total,
        "memory_free_mib": mib_from_quantity(row.get("memory.free", "")),
    }


def _architecture(row: Row) -> str | None:
    match = re.fullmatch(r"([0-9]{1,2})\.([0-9])", row.get("compute_cap", ""))
    return f"sm_{match[1]}{match[2]}" if match else None


def _mig(row: Row) -> bool:
    return row.get("mig.mode.current") == "Enabled"


def _health(row: Row) -> Health:
    if not any(field in row for field in _NEWER):
        return Health(status="unknown", reasons=("the driver is too old to tell",))
    reasons = []
    errors = whole(row.get("ecc.errors.uncorrected.volatile.total"))
    if errors:
        reasons.append(f"{errors} uncorrected ECC error(s) since the driver was loaded")
    if row.get("retired_pages.pending") == "Yes":
        reasons.append("memory pages wait for retirement: reset the GPU")
    bits = row.get("clocks_event_reasons.active") or row.get("clocks_throttle_reasons.active")
    return degraded(reasons + throttling(whole(bits) or 0))


def _details(access: Access) -> ElementTree.Element:
    """The report of ``nvidia-smi -q -x``; an empty element where it is no XML."""
    text = _stdout(access, "-q", "-x")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - written by the local driver's tool
    except (ElementTree.ParseError, ValueError):  # ValueError: text that is no Unicode
        return ElementTree.Element("nvidia_smi_log")


def _slices(access: Access, details: ElementTree.Element) -> dict[str, tuple[Slice, ...]]:
    memory = {
        (card.findtext("uuid", ""), mig.findtext("index", "")): mig
        for card in details.iter("gpu")
        for mig in card.iter("mig_device")
    }
    found: dict[str, tuple[Slice, ...]] = {}
    for card, position, profile, uuid in parse_list(_stdout(access, "-L")):
        mig = memory.get((card, position), ElementTree.Element("mig_device"))
        found[card] = (
            *found.get(card, ()),
            Slice(
                uuid=uuid,
                profile=profile,
                memory_total_mib=mib_from_quantity(mig.findtext("fb_memory_usage/total", "")),
                memory_free_mib=mib_from_quantity(mig.findtext("fb_memory_usage/free", "")),
            ),
        )
    return found


def parse_list(text: str) -> list[tuple[str, str, str, str]]:
    """The MIG lines of ``nvidia-smi -L``: UUID of the card, MIG index, profile, UUID."""
    card = ""
    found = []
    for line in text.splitlines():
        if match := re.match(r"GPU \d+: .*\(UUID: (GPU-[0-9a-fA-F-]+)\)", line):
            card = match[1]
        elif card and (
            match := re.match(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[\w/-]+)\)", line)
        ):
            found.append((card, match[2], match[1], match[3]))
    return found


def _processes(access: Access) -> dict[str, tuple[Process, ...]]:
    """UUID of the card -> compute processes on it."""
    text = _stdout(
        access,
        "--query-compute-apps=gpu_uuid,pid,used_memory,process_name",
        "--format=csv,noheader",
    )
    found: dict[str, tuple[Process, ...]] = {}
    for line in text.splitlines():
        uuid, *rest = (cell.strip() for cell in line.split(",", 3))
        if len(rest) == 3 and (pid := whole(rest[0])) is not None:
            process = Process(pid=pid, name=known(rest[2]), memory_mib=mib_from_quantity(rest[1]))
            found[uuid] = (*found.get(uuid, ()), process)
    return found


def parse_topology(text: str) -> tuple[Link, ...]:
    """The NVLink pairs of ``nvidia-smi topo -m``: cells such as ``NV18`` between GPU columns."""
    columns: list[str] = []
    links = []
    for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines():
        cells = line.split("\t")
        first = cells[0].strip()
        if not columns:
            columns = [cell.strip() for cell in cells[1:]] if first == "" and len(cells) > 1 else []
            continue
        row = re.fullmatch(r"GPU([0-9]{1,3})", first)
        for name, cell in zip(columns, cells[1:], strict=False):
            column = re.fullmatch(r"GPU([0-9]{1,3})", name)
            count = re.fullmatch(r"NV([0-9]{1,2})", cell.strip())
            if row and column and count and int(row[1]) < int(column[1]):
                a, b = int(row[1]), int(column[1])
                links.append(Link(a=a, b=b, kind="nvlink", count=int(count[1])))
    return tuple(links)


def _host_facts(rows: Sequence[Row], details: ElementTree.Element) -> dict[str, str]:
    facts = {}
    driver = next((value for row in rows if (value := known(row.get("driver_version")))), None)
    cuda = known(details.findtext("cuda_version"))
    if driver:
        facts["driver_version"] = driver
    if cuda and re.fullmatch(r"[0-9]+\.[0-9]+", cuda):
        facts["cuda_driver_version"] = cuda
    return facts
