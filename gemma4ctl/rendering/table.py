"""What people read: a plan, the reasons for it, and an inventory, as rich renderables.

A layout that depends on the width it is read at (columns) takes it; nothing is said by colour
alone. Print with :func:`show`, which never cuts a command. This module imports rich: import it
where it is used.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gemma4ctl.hardware.inventory import Device, Host, Inventory, Link
from gemma4ctl.planning.plan import (
    LOAD_SPLIT,
    ONCE_CERTIFIED,
    Capacity,
    Decision,
    Plan,
    PlanWarning,
)
from gemma4ctl.rendering import command
from gemma4ctl.rendering.shell import shell

WIDE = 110  # columns from which a decision takes one row of three columns
LIST_BREAK = ",\n"  # in a narrow column
VALUE_WIDTH = 41  # a device's UUID with a comma
IMAGE_STATUS = {"verified": "a tag in use", "guess": "the tag is a guess", "user": "yours"}
STYLES = {
    "crash": "bold red",
    "oom": "bold red",
    "security": "bold red",
    "silent": "bold yellow",
    "perf": "yellow",
    "broken": "bold red",
    "estimated": "yellow",
}


def show(renderable: RenderableType, console: Console) -> None:
    """Print ``renderable`` on ``console``; lines of a command may be longer than the console."""
    console.print(renderable, crop=False)


# Plan


def plan_table(plan: Plan, width: int) -> Group:
    """What ``suggest`` prints: the plan in words, the command, reasons, capacity, warnings."""
    parts: list[RenderableType] = [
        _heading(plan),
        _gap(),
        Text(shell(plan), no_wrap=True, overflow="ignore"),
        _gap(),
        _decisions(plan, width),
        _gap(),
    ]
    if plan.capacity:
        parts += [_facts(_capacity_facts(plan.capacity, plan.request.safe)), _gap()]
    if plan.warnings:
        parts.append(_warnings(plan.warnings))
    return Group(*parts)


def explain_table(plan: Plan) -> Group:
    """What ``--explain`` prints: rule, reason, source, status and origin of every value."""
    parts: list[RenderableType] = []
    for decision in plan.decisions:
        parts += [_setting(decision), *_explanation(decision), _gap()]
    if plan.extra_args:
        parts += [
            Text(shlex.join(plan.extra_args), style="bold"),
            _indented(Text("Given by you after --, which wins over the rules.")),
        ]
    return Group(*parts)


def _heading(plan: Plan) -> Group:
    hardware = plan.hardware
    count = f"{hardware.gpu_count} of {hardware.host_gpu_count}"
    title = f"Gemma 4 {plan.variant.name} on {count} {hardware.platform}, SGLang {plan.release}"
    image = plan.image
    facts = [
        ("Model", f"{plan.variant.model_path} ({plan.variant.checkpoint})"),
        ("Draft", plan.variant.draft_path),
        ("Devices", f"{hardware.choice} (source: {hardware.source})"),
        ("Image", f"{image.reference} ({IMAGE_STATUS[image.status]})" if image else None),
        ("Kernels", _kernels(plan)),
    ]
    return Group(Text(title, style="bold"), _facts(facts))


def _kernels(plan: Plan) -> str | None:
    """Which model code is used, where it is not SGLang's own or another is faster."""
    used = plan.decision("kernels")
    if used is not None and used.value == "fused":
        return f"fused, {used.reason}"
    better = plan.decision(ONCE_CERTIFIED)
    if better is None:
        return None
    return f"SGLang's own; {better.value} ones are faster once certified:\n{better.reason}"


def _decisions(plan: Plan, width: int) -> RenderableType:
    """What reaches SGLang, with the reason of each: a table, or below each other where narrow."""
    rows = [
        (decision.flag or decision.env or "", _value(decision), _why(decision))
        for decision in plan.decisions
        if command.words(decision) or (decision.env and decision.value is not None)
    ]
    rows += [
        (line[0], shlex.join(line[1:]), Text("yours, after --", style="bold"))
        for line in command.lines(plan.extra_args, head=0)
        if line
    ]
    return _decision_table(rows) if width >= WIDE else _decision_list(rows)


def _decision_table(rows: Sequence[tuple[str, str, Text]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    longest = max(len(line) for _, value, _ in rows for line in ["Value", *value.splitlines()])
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value", overflow="fold", width=min(longest, VALUE_WIDTH))
    table.add_column("Why", overflow="fold")
    for setting, value, why in rows:
        table.add_row(Text(setting), Text(value), why)
    return table


def _decision_list(rows: Iterable[tuple[str, str, Text]]) -> Group:
    parts: list[RenderableType] = []
    for setting, value, why in rows:
        joint = " " if setting.startswith("--") else "="
        line = f"{setting}{joint}{value.replace(LIST_BREAK, ',')}".rstrip()
        parts += [Text(line, style="bold"), _indented(why)]
    return Group(*parts)


def _value(decision: Decision) -> str:
    """The value as it stands in the command; a list is broken between its items."""
    if decision.flag:
        return shlex.join(command.words(decision)[1:])
    lines = [""]
    for item in shlex.quote(str(decision.value)).split(","):
        longer = f"{lines[-1]},{item}" if lines[-1] else item
        if lines[-1] and len(longer) >= VALUE_WIDTH:
            lines.append(item)
        else:
            lines[-1] = longer
    return LIST_BREAK.join(lines)


def _why(decision: Decision) -> Text:
    """The reason, marked where the value is not a verified one or not the rules' own."""
    text = Text(decision.reason)
    if decision.status != "verified":
        text.append(f" [{decision.status}]", style=STYLES[decision.status])
    if decision.origin != "rule":
        text.append(f" [from {decision.origin}]", style="bold")
    return text


def _setting(decision: Decision) -> Text:
    text = Text(decision.name, style="bold")
    text.append(f" = {decision.value}")
    reached = decision.flag or decision.env
    if reached:
        text.append(f"  ({reached})", style="dim")
    return text


def _explanation(decision: Decision) -> list[RenderableType]:
    facts = (
        f"rule {decision.rule}, source {decision.source}, {decision.status}, "
        f"origin {decision.origin}"
    )
    return [_indented(Text(decision.reason)), _indented(Text(facts))]


def _capacity_facts(capacity: Capacity, safe: bool) -> list[tuple[str, str | None]]:
    memory = f"{gib(capacity.weights_mib_per_gpu)} weights"
    if capacity.draft_mib_per_gpu:
        memory += f", {gib(capacity.draft_mib_per_gpu)} draft"
    return [
        ("Each GPU", f"{memory}; KV cache {capacity.kv_bytes_per_token / 1024:,.1f} KiB a token"),
        (
            "KV pools",
            f"{capacity.full_layer_tokens:,} tokens in full layers, "
            f"{capacity.swa_layer_tokens:,} in sliding layers",
        ),
        (
            "Capacity",
            f"{_requests(capacity.max_concurrent_requests)} of the full context at once; "
            f"the longest {capacity.max_context_tokens:,} tokens",
        ),
        ("Load", _load_fact(capacity, "with --optimize" + " instead of --safe" * safe)),
        ("Computed", capacity.basis),
    ]


def _requests(count: int) -> str:
    return f"{count or 'no'} request{'' if count == 1 else 's'}"


def _load_fact(capacity: Capacity, better: str) -> str | None:
    """What fits of the load, and what would with the other split, which ``better`` would take."""
    if len(capacity.splits) != 2:
        return None
    own, other = capacity.splits
    fits = "fits" if own.requests == 1 else "fit"
    fact = f"{capacity.load}: {_requests(own.requests)} {fits} ({own.limit})"
    if other.title == LOAD_SPLIT and other.requests <= own.requests:
        return fact
    how = better if other.title == LOAD_SPLIT else "with the default split"
    return f"{fact}, {other.requests or 'none'} {how}"


def _warnings(warnings: Sequence[PlanWarning]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Risk", no_wrap=True)
    table.add_column("Warning", ratio=1)
    for warning in warnings:
        table.add_row(
            Text(warning.severity, style=STYLES[warning.severity]),
            Text(f"{warning.message}\nTry: {warning.remedy}"),
        )
    return table


# Inventory


def inventory_table(inventory: Inventory, width: int = 80) -> Group:
    """What ``detect`` prints: devices with their slices, links, the host, problems."""
    facts = [
        *_state_facts(inventory.devices),
        *_link_facts(inventory),
        *_process_facts(inventory.devices),
        *_host_facts(inventory.host),
        *inventory.visibility.items(),
    ]
    return Group(
        Text(f"Hardware (source: {inventory.source})", style="bold"),
        _devices(inventory.devices, width) if inventory.devices else Text("No GPU found."),
        _gap(),
        _facts(facts),
        *[Text.assemble(("Problem: ", "bold red"), text) for text in inventory.problems],
    )


def _devices(devices: Sequence[Device], width: int) -> Table:
    """A row for each device, with a bar of its free memory where there is room, and its slices."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("GPU", justify="right", no_wrap=True)
    table.add_column("Name", overflow="fold")
    table.add_column("Free memory", no_wrap=True)
    table.add_column("State", overflow="fold")
    bar = width >= WIDE
    for device in devices:
        table.add_row(
            Text(str(device.index)),
            _device_name(device),
            _free(device.memory_free_mib, device.memory_total_mib, bar),
            _state(device),
        )
        for slice_ in device.slices:
            table.add_row(
                Text(""),
                Text(f"  MIG {slice_.profile or 'slice'}\n  {slice_.uuid}"),
                _free(slice_.memory_free_mib, slice_.memory_total_mib, bar),
                Text("ok" if slice_.visible else "hidden"),
            )
    return table


def _device_name(device: Device) -> Text:
    details = [
        device.platform or "not in the table",
        device.architecture,
        device.compute_partition and f"{device.compute_partition} {device.memory_partition or ''}",
        "unified memory" if device.unified_memory else None,
    ]
    row = ", ".join(detail.strip() for detail in details if detail)
    return Text("\n".join([device.name, row, *([device.uuid] if device.uuid else [])]))


def _free(free_mib: int | None, total_mib: int | None, bar: bool) -> Text:
    """The free memory of the total, after a bar of its share; says so where it is not known."""
    if not total_mib:
        return Text("not readable")
    if free_mib is None:
        return Text(f"unknown of {gib(total_mib)}")
    full = round(10 * free_mib / total_mib)
    drawn = f"{'#' * full}{'.' * (10 - full)} " if bar else ""
    return Text(f"{drawn}{free_mib / 1024:.1f} of {gib(total_mib)}")


def _state(device: Device) -> Text:
    health = device.health
    shown = device.visible or health.status != "ok"
    words = [
        health.status if shown else None,
        None if device.visible else "hidden",
        "MIG" if device.mig_enabled else None,
    ]
    return Text(", ".join(filter(None, words)), style="" if health.status == "ok" else "bold red")


def _state_facts(devices: Iterable[Device]) -> list[tuple[str, str | None]]:
    """Why a device is not in order."""
    return [
        (f"GPU {device.index}", f"{device.health.status}: {'; '.join(device.health.reasons)}")
        for device in devices
        if device.health.reasons
    ]


def _link_facts(inventory: Inventory) -> list[tuple[str, str | None]]:
    """The links grouped by kind: "nvlink x18: all GPUs" or the pairs."""
    every_pair = len(inventory.devices) * (len(inventory.devices) - 1) // 2

    def kind(link: Link) -> str:
        return f"{link.kind} x{link.count}" if link.count else link.kind

    facts: list[tuple[str, str | None]] = []
    for name, group in groupby(sorted(inventory.links, key=kind), key=kind):
        pairs = sorted((link.a, link.b) for link in group)
        joined = "all GPUs" if len(pairs) == every_pair else ", ".join(f"{a}-{b}" for a, b in pairs)
        facts.append(("Links", f"{name}: {joined}"))
    return facts


def _process_facts(devices: Iterable[Device]) -> list[tuple[str, str | None]]:
    """The processes that hold memory."""
    facts: list[tuple[str, str | None]] = []
    for device in devices:
        for process in device.processes:
            held = "unknown memory" if process.memory_mib is None else gib(process.memory_mib)
            name = process.name or "process"
            facts.append((f"GPU {device.index}", f"{name} (pid {process.pid}) holds {held}"))
    return facts


def _host_facts(host: Host) -> list[tuple[str, str | None]]:
    """The readable facts of the host, each with where it was read."""
    labels = {
        "cpu_architecture": "CPU",
        "ram_total_mib": "RAM",
        "ram_available_mib": "RAM free",
        "swap_total_mib": "Swap",
        "shm_total_mib": "/dev/shm",  # noqa: S108 - a label
        "container": "Container",
        "driver_version": "Driver",
        "cuda_driver_version": "CUDA",
        "rocm_version": "ROCm",
    }
    facts: list[tuple[str, str | None]] = []
    for field, label in labels.items():
        value = getattr(host, field)
        if value is not None:
            source = host.sources.get(field)
            text = gib(value) if field.endswith("_mib") else str(value)
            facts.append((label, f"{text} ({source})" if source else text))
    packages = ", ".join(f"{name} {version}" for name, version in host.packages.items())
    return [*facts, ("Installed", packages or None)]


# Shared


def gib(mib: int) -> str:
    """``mib`` as text in GiB."""
    return f"{mib / 1024:,.1f} GiB"


def _gap() -> Text:
    return Text("")


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 4), expand=False)


def _facts(facts: Iterable[tuple[str, str | None]]) -> Table:
    """A label and a value a line; labels without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(ratio=1, overflow="fold")
    for label, value in facts:
        if value:
            grid.add_row(Text(label), Text(value))
    return grid
