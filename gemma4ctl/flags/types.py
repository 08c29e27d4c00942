"""How SGLang reads the value of a flag: one function for each type name of the flag tables.

Each takes the word and returns its value, or raises ValueError with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from gemma4ctl.flags.table import Flag

_SCALED = re.compile(r"(\d+(?:\.\d+)?)(k|M|G|T|Ki|Mi|Gi|Ti)")
_FACTORS = {
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def human_readable_int(text: str) -> int:
    """An integer with an SI (25.6k, 1M) or IEC suffix (4Ki), or without one."""
    scaled = _SCALED.fullmatch(text.strip())
    if scaled is None:
        return int(text)
    number, suffix = scaled.groups()
    if suffix.endswith("i"):
        return int(number) * _FACTORS[suffix]
    from decimal import Decimal  # only such a value pays for it

    return int(Decimal(number) * _FACTORS[suffix])


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def strict_json(text: str) -> Any:
    """Any JSON value; NaN and Infinity are refused."""
    return json.loads(text, parse_constant=_not_json)


def lora_path(text: str) -> Any:
    """PATH, NAME=PATH, or a JSON object with lora_name and lora_path."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return text
    adapter = json.loads(text)
    if not {"lora_name", "lora_path"} <= adapter.keys():
        raise ValueError("the JSON object needs the keys lora_name and lora_path")
    return adapter


def nested_object(text: str, keys: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, Any]]:
    """A JSON object of JSON objects; ``keys`` holds the keys allowed in each."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    for section, settings in value.items():
        if section not in keys:
            raise ValueError(f"unknown section {section!r}, expected one of {', '.join(keys)}")
        if not isinstance(settings, dict):
            raise ValueError(f"{section!r} is not a JSON object")
        if unknown := settings.keys() - set(keys[section]):
            raise ValueError(f"unknown key {min(unknown)!r} in {section!r}")
    return value


READERS: Mapping[str, Callable[[str], Any]] = {
    "float": float,
    "human_readable_int": human_readable_int,
    "int": int,
    "json": json.loads,
    "lora_path": lora_path,
    "parse_cuda_graph_backend_arg": str,  # its choices say it all
    "parse_cuda_graph_config_arg": json.loads,  # see Flag.keys
    "nullable_str": lambda text: None if text in ("", "None") else text,
    "str": str,
    "strict_json": strict_json,
}


def read(flag: Flag, text: str) -> Any:
    """The value of ``text`` for ``flag``; raises ValueError where SGLang refuses it.

    A type without a reader (a newer SGLang) takes every text.
    """
    try:
        if flag.keys is not None:
            return nested_object(text, flag.keys)
        return READERS.get(flag.type, str)(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
