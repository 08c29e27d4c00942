"""What the scripts of this folder share: records of measurements, flags, the machine's GPUs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path


def write(path: Path, document: object) -> None:
    """Write JSON so that an interruption leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)


def split_flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before ``--`` and those after it."""
    cut = words.index("--") if "--" in words else len(words)
    return list(words[:cut]), list(words[cut + 1 :])


def pools_beside_others(tokens: int) -> list[str]:
    """Flags for KV pools of ``tokens`` where other servers use the GPU too.

    SGLang takes the pools of a fraction of the memory that is free when it starts, which changes
    while others start beside it; the tokens then limit the pools.
    """
    return ["--mem-fraction-static", "0.98", "--max-total-tokens", str(tokens)]


def gpu_names() -> list[str]:
    """The GPUs of this machine."""
    return _ask("name")


def gpu_gib() -> list[float]:
    """The memory of each GPU of this machine, GiB."""
    return [int(mib) / 1024 for mib in _ask("memory.total")]


def _ask(what: str) -> list[str]:
    query = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
