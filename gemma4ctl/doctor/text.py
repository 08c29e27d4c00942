"""The report as Markdown that reads well at 80 columns, for the text of an issue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from textwrap import shorten, wrap
from typing import Any

from gemma4ctl.doctor.document import cut

TITLE = "# gemma4ctl doctor"
WIDTH = 80
LARGEST_TEXT = 60_000  # characters; GitHub takes 65,536 in an issue
_SMALLEST_OUTPUT = 512  # bytes of one tool's output in a text that has to be short


def report_text(found: Mapping[str, Any]) -> str:
    """``found`` (of :func:`~gemma4ctl.doctor.document.report`) as Markdown.

    The outputs of tools are shortened further until the text fits into an issue.
    """
    summary = "\n\n".join(_summary(found))
    limit = 16 * 1024
    while True:
        text = f"{summary}\n\n" + "\n\n".join(_details(found, limit)) + "\n"
        if len(text) <= LARGEST_TEXT or limit <= _SMALLEST_OUTPUT:
            return text.rstrip("\n")
        limit //= 2


def _summary(found: Mapping[str, Any]) -> Iterator[str]:
    yield TITLE
    yield "\n".join(wrap(_ABOUT, WIDTH))
    yield _block("System", _system(found))
    for title, key, lines in _SECTIONS:
        yield _block(title, _section(found.get(key), lines))


_ABOUT = (
    "Secrets, names, addresses, UUIDs and home folders are replaced; please look through it "
    "before you send it. `gemma4ctl doctor --json` has everything in full and can be given back "
    "as `--hardware-file`."
)


def _section(part: Any, lines: Callable[[Any], Sequence[str]]) -> Sequence[str]:
    """The lines of a part, or why there are none."""
    if isinstance(part, Mapping) and set(part) == {"error"}:
        return [f"could not be made: {part['error']}"]
    return lines(part) or ["none"]


def _block(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n{_fenced(chr(10).join(lines))}"


def _fenced(text: str) -> str:
    """``text`` in a fence longer than any that it holds."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _system(found: Mapping[str, Any]) -> Sequence[str]:
    version = ("gemma4ctl", str(found.get("gemma4ctl_version")))
    system = found.get("system") or {}
    return [_fact(*version), *(_fact(name, value) for name, value in system.items())]


def _fact(name: str, value: Any) -> str:
    """A name and its value in two columns; long values go on below themselves."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = "-" if value in (None, "") else str(value)
    indent = " " * 18
    lines = [line for part in text.splitlines() for line in _wrapped(part, WIDTH - 18)]
    first = f"{name:<17} " if len(name) < 18 else f"{name}\n{indent}"
    return first + f"\n{indent}".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns; hashes, paths and other long words stay whole."""
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _facts(part: Mapping[str, Any] | None) -> Sequence[str]:
    return [_fact(name, value) for name, value in (part or {}).items()]


def _inventory(part: Any) -> Sequence[str]:
    """As ``gemma4ctl detect`` prints it."""
    from rich.console import Console

    from gemma4ctl.hardware.inventory import Inventory
    from gemma4ctl.rendering.table import inventory_table, show

    out = Console(file=StringIO(), width=WIDTH, no_color=True, highlight=False)
    show(inventory_table(Inventory.model_validate(part), WIDTH), out)
    assert isinstance(out.file, StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def _plans(part: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    return [line for plan in part for line in _plan(plan)]


def _plan(plan: Mapping[str, Any]) -> Iterator[str]:
    if "error" in plan:
        message = str(plan["error"]).partition("\n")[0]
        yield from wrap(f"{plan['variant']:<8} {message}", WIDTH, subsequent_indent=" " * 9)
        return
    words = (
        f"{plan['hardware']} ({plan['source']}), TP {plan['tensor_parallel_size']}, "
        f"{plan['attention_backend'] or 'default backend'}, "
        f"memory {plan['mem_fraction_static'] or 'auto'}, SGLang {plan['release']}"
    )
    yield from wrap(f"{plan['variant']:<8} {words}", WIDTH, subsequent_indent=" " * 9)
    if plan["warnings"]:
        yield from wrap(
            "warnings: " + ", ".join(plan["warnings"]),
            WIDTH,
            initial_indent=" " * 9,
            subsequent_indent=" " * 9,
        )


def _settings(part: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    return [_fact(name, f"{item['value']} ({item['origin']})") for name, item in part.items()]


def _sglang(part: Mapping[str, Any] | None) -> Sequence[str]:
    if not part:
        return []
    return _facts({**part, "versions": None, **part["versions"]})


_SECTIONS: tuple[tuple[str, str, Callable[[Any], Sequence[str]]], ...] = (
    ("Hardware", "inventory", _inventory),
    ("Plans", "plans", _plans),
    ("SGLang on PATH", "sglang", _sglang),
    ("Packages beside gemma4ctl", "packages", _facts),
    ("Docker", "docker", _facts),
    ("Settings", "settings", _settings),
    ("Environment", "environment", _facts),
    ("Profile table", "profiles", _facts),
)


def _details(found: Mapping[str, Any], limit: int) -> Iterator[str]:
    """Folded sections: the output of each tool, the kernel's files, the log."""
    recorded = found.get("recorded") or {}
    for line, answer in recorded.get("commands", {}).items():
        yield _folded(line, answer if isinstance(answer, str) else _failed(answer), limit)
    files = recorded.get("files", {})
    if files:
        yield _folded(
            "files", "\n".join(f"==> {path}\n{text}" for path, text in files.items()), limit
        )
    for name, error in {**recorded.get("cut_short", {}), **_error(recorded)}.items():
        yield f"Recording of {name} tools: {error}"
    log = found.get("log")
    if log and "last_lines" in log:
        title = f"{log['file']}, {log['changed']}, {log['bytes']:,} bytes"
        yield _folded(f"serve log: {title}", log["last_lines"], limit)
    elif log:
        yield f"Serve log: {log['error']}"


def _error(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"all": part["error"]} if "error" in part else {}


def _failed(answer: Mapping[str, Any]) -> str:
    return f"exit status {answer['$status']}\n{answer['stdout']}\n{answer['stderr']}"


def _folded(title: str, text: str, limit: int) -> str:
    """A section that an issue shows closed."""
    name = shorten(title, WIDTH - 30, placeholder=" ...").replace("<", "&lt;")
    body = _fenced(str(cut(text.strip("\n"), limit)))
    return f"<details><summary>{name}</summary>\n\n{body}\n\n</details>"
