"""What people read of ``fit``, as rich renderables for 80 columns and more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.console import Group as Parts
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gemma4ctl.fitting.bar import bar
from gemma4ctl.fitting.document import (
    AtConcurrency,
    AtLength,
    FitDocument,
    FitHardware,
    Group,
    Split,
    VariantFit,
)
from gemma4ctl.rendering.table import gib

WIDE = 110  # columns from which weights and pools have columns of their own
TITLES: dict[Group, str] = {
    "runs": "Runs",
    "less": "Runs with less than asked, or other settings",
    "cannot": "Cannot run",
}
KINDS = {"gpu": "", "mig": " (MIG slice)", "partition": " (partition)"}
BASIS = (
    "Computed from SGLang's own formulas; published: the values of the model's page and SGLang's "
    "defaults; best: the split of the KV cache for that length or number."
)


def report(document: FitDocument, width: int) -> Parts:
    """Everything that ``fit`` prints: one variant in detail, or several in their groups."""
    variants = document.variants
    parts = [_detail(variants[0], width)] if len(variants) == 1 else _groups(variants, width)
    return Parts(_heading(document.hardware), Text(""), *parts, Text(BASIS, style="dim"))


def _heading(hardware: FitHardware | None) -> Text:
    if hardware is None:
        return Text("No GPU that can be used", style="bold")
    text = f"{hardware.gpu_count} x {hardware.platform}{KINDS[hardware.kind]}"
    if hardware.memory_mib is not None:
        text += f", {gib(hardware.memory_mib)} each"
    if hardware.memory_mib is not None and hardware.free_mib not in (None, hardware.memory_mib):
        text += f", {gib(hardware.free_mib or 0)} free on the fullest"
    return Text(f"{text} (source: {hardware.source})", style="bold")


def _groups(variants: Sequence[VariantFit], width: int) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for group, title in TITLES.items():
        members = [one for one in variants if one.group == group]
        if not members:
            continue
        parts += [Text(title, style="bold"), *_group(members, width), Text("")]
    return parts


def _group(members: Sequence[VariantFit], width: int) -> Iterator[RenderableType]:
    modelled = [one for one in members if one.lengths]
    if modelled:
        yield _overview(modelled, width)
    for one in members:
        if one.group != "runs" or not one.lengths:
            yield Text(f"{one.variant} ({one.checkpoint}): {one.reason}")
            yield _indented(_why(one))


def _why(one: VariantFit) -> Table:
    """Need, found, remedies, and the plan whose figures are shown where that is another."""
    shown = one.command if not one.as_asked else None
    ways = [("try", way) for way in one.remedies if way != shown]
    return _grid([("need", one.needed), ("found", one.found), *ways, ("shown", shown)])


def _overview(variants: Sequence[VariantFit], width: int) -> Table:
    """Two rows for each variant: published values, and the best split for each length."""
    shared, last = _lengths(variants)
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        title="requests at once, by tokens of each",
        title_justify="right",
        title_style="dim",
    )
    table.add_column("Model", no_wrap=True)
    table.add_column("GPUs", justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("Weights", justify="right", no_wrap=True)
    table.add_column("Split", no_wrap=True)
    table.add_column("Longest", justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("Full pool", justify="right", no_wrap=True)
        table.add_column("Sliding pool", justify="right", no_wrap=True)
    for name in (*(_short(tokens) for tokens in shared), last):
        table.add_column(name, justify="right", no_wrap=True)
    for one in variants:
        for row in _overview_rows(one, shared, wide=width >= WIDE):
            table.add_row(*(Text(cell) for cell in row))
    return _whole(table, width)


def _whole(table: Table, width: int) -> Table:
    """``table``, made wider than ``width`` where its figures would be cut otherwise."""
    console = Console(width=1000)
    least = Measurement.get(console, console.options, table).minimum
    table.width = least if least > width else None
    return table


def _lengths(variants: Sequence[VariantFit]) -> tuple[list[int], str]:
    """The lengths that are columns, and the name of the last one, each variant's own."""
    ends = {one.lengths[-1].tokens for one in variants}
    shared = sorted({row.tokens for one in variants for row in one.lengths[:-1]})
    return shared, _short(ends.pop()) if len(ends) == 1 else "max"


def _overview_rows(
    one: VariantFit, shared: Sequence[int], *, wide: bool
) -> Iterator[tuple[str, ...]]:
    by_length = {row.tokens: row for row in one.lengths}
    alone = one.longest
    rows = [*(by_length.get(tokens) for tokens in shared), one.lengths[-1]]
    pools = one.published
    weights = gib(one.usage.weights) if one.usage else ""
    yield (
        one.variant,
        str(one.gpus),
        *((weights,) if wide else ()),
        "published",
        _number(alone.published if alone else None),
        *(_pools(pools) if wide else ()),
        *(_number(row.published) if row else "" for row in rows),
    )
    best = one.lengths[-1].best_split
    yield (
        "",
        "",
        *(("",) if wide else ()),
        "best",
        _number(alone.best if alone else None),
        *(_pools(best) if wide else ()),
        *(_number(row.best) if row else "" for row in rows),
    )


def _pools(split: Split | None) -> tuple[str, str]:
    if split is None:
        return "-", "-"
    return f"{split.full_layer_tokens:,}", f"{split.swa_layer_tokens:,}"


def _detail(one: VariantFit, width: int) -> Parts:
    """All that is known of one variant."""
    title = f"Gemma 4 {one.variant} ({one.checkpoint}): {TITLES[one.group].lower()}"
    parts: list[RenderableType] = [Text(title, style="bold"), Text(one.reason)]
    if one.group != "runs":
        parts.append(_indented(_why(one)))
    if one.gpus is not None:
        parts += [Text(""), _facts(one)]
    if one.usage is not None:
        heading = f"Memory of each GPU, {gib(one.usage.total)}"
        parts += [Text(""), Text(heading, style="bold"), bar(one.usage, width)]
    if one.lengths:
        parts += [Text(""), _whole(_length_table(one), width)]
    if one.concurrencies:
        parts += [Text(""), _whole(_concurrency_table(one), width)]
    if one.levers:
        parts += [Text(""), _whole(_lever_table(one), width)]
    return Parts(*parts, Text(""))


def _facts(one: VariantFit) -> Table:
    advice = f", {one.recommended_tp} recommended" if one.recommended_tp else ""
    least = f" (least {one.min_tp}{advice})" if one.min_tp else ""
    return _grid([
        ("GPUs", f"{one.gpus}, TP {one.tp}{least}; SGLang {one.release}"),
        ("Published", _split(one.published) if one.usage else None),
        ("This plan", _split(one.planned) if one.planned != one.published else None),
        ("Longest", _longest(one)),
        ("Plan", one.command if one.as_asked else None),
    ])  # fmt: skip


def _grid(facts: Iterable[tuple[str, str | None]]) -> Table:
    """A label and a value a line; labels without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in facts:
        if value:
            grid.add_row(Text(label), Text(value))
    return grid


def _split(split: Split | None) -> str:
    if split is None:
        return "does not start"
    return (
        f"{split.full_layer_tokens:,} tokens in full layers, {split.swa_layer_tokens:,} in "
        f"sliding (ratio {split.ratio:g}, {split.share:g} of the memory)"
    )


def _longest(one: VariantFit) -> str | None:
    if one.longest is None:
        return None
    now, best = _number(one.longest.published), _number(one.longest.best)
    return f"one request of {now} tokens as published, of {best} with the best split"


def _length_table(one: VariantFit) -> Table:
    rows = [(row.tokens, row) for row in one.lengths]
    return _figures("Requests at once, by their length", "Tokens", rows)


def _concurrency_table(one: VariantFit) -> Table:
    rows = [(row.requests, row) for row in one.concurrencies]
    return _figures("Longest requests, by their number at once", "At once", rows)


def _figures(title: str, first: str, rows: Sequence[tuple[int, AtLength | AtConcurrency]]) -> Table:
    """Published and best figures with what stops more of each."""
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, show_edge=False, title=title, title_justify="left"
    )
    table.add_column(first, justify="right", no_wrap=True)
    table.add_column("Published", justify="right", no_wrap=True)
    table.add_column("bound by", style="dim", overflow="fold")
    table.add_column("Best", justify="right", no_wrap=True)
    table.add_column("bound by", style="dim", overflow="fold")
    table.add_column("Ratio", justify="right", no_wrap=True)
    for value, row in rows:
        before = (_number(row.published), row.published_limit or "")
        after = (_number(row.best), row.best_limit or "", _ratio(row.best_split))
        table.add_row(f"{value:,}", *before, *after)
    return table


def _ratio(split: Split | None) -> str:
    return f"{split.ratio:g}" if split else ""


def _lever_table(one: VariantFit) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        title=f"What changes bring for requests of {one.load}",
        title_justify="left",
    )
    table.add_column("Change", overflow="fold")
    table.add_column("GPUs", justify="right")
    table.add_column("At once", justify="right")
    table.add_column("Gain", justify="right", no_wrap=True)
    table.add_column("What it takes", ratio=1, overflow="fold")
    for lever in one.levers:
        gain = f"x {lever.gain:.2f}" if lever.gain is not None else ""
        gpus = str(lever.gpus) if lever.gpus else ""
        table.add_row(lever.title, gpus, _number(lever.requests, ""), gain, lever.note)
    return table


def _short(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens:,}"


def _number(value: int | None, missing: str = "-") -> str:
    return missing if value is None else f"{value:,}"


def _indented(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, 4), expand=False)
