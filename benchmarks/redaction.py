"""Take out of a record what is of one machine: its folders, GPUs, addresses and names."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable
from typing import Any

# A path of two parts or more; those of the server's own API are no folders.
_PATH = re.compile(r"(?<![\w.:/+~-])/(?!v1/)(?:[\w.@+-]+/)+([\w.@+-]+)")
_GPU = re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_ADDRESS = re.compile(r"\b(?!127\.|0\.0\.0\.0\b)\d{1,3}(?:\.\d{1,3}){3}\b")


def redacted(value: Any, names: Iterable[str] = ()) -> Any:
    """A JSON-ready value whose texts name neither folders, GPUs, addresses nor ``names``.

    The last part of a path stays, since it tells which checkpoint or program it is; so do the
    addresses of the machine itself.
    """
    if isinstance(value, dict):
        return {key: redacted(part, names) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(part, names) for part in value]
    return _text(value, names) if isinstance(value, str) else value


def machine_names() -> list[str]:
    """The names of this host and of who uses it."""
    return sorted({socket.gethostname(), getpass.getuser()} - {"root", "localhost"})


def _text(text: str, names: Iterable[str]) -> str:
    text = _PATH.sub(r"/redacted/\1", text)
    text = _GPU.sub(r"\1-redacted", text)
    text = _ADDRESS.sub("redacted", text)
    for name in names:
        text = re.sub(rf"\b{re.escape(name)}\b", "redacted", text)
    return text
