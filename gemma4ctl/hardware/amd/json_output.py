"""JSON as AMD's tools print it: after warnings, as a list or under ``gpu_data``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gemma4ctl.hardware.access import Access


def ask(access: Access, argv: Sequence[str]) -> Any:
    """The JSON value that a command printed; None when it failed or printed none."""
    answer = access.run(argv)
    return parse(answer.stdout) if answer else None


def parse(text: str) -> Any:
    """The JSON value in ``text``, after any warnings before it; None where there is none."""
    starts = [position for mark in "[{" if (position := text.find(mark)) >= 0]
    for start in sorted(starts):
        try:
            return json.JSONDecoder().raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            continue
    return None


def records(value: Any) -> list[Mapping[str, Any]]:
    """The per-GPU records of an ``amd-smi`` answer, also of newer ones under ``gpu_data``."""
    if isinstance(value, Mapping):
        value = value.get("gpu_data", [value])
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, Mapping)]


def inner(value: Any, *names: str) -> Any:
    """The value at a path of keys; None where any of them is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
