"""Where files of ours and of Hugging Face's are kept on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gemma4ctl.errors import UsageError

OURS = "gemma4ctl"


def state(environment: Mapping[str, str]) -> Path:
    """Logs and keys: ``$XDG_STATE_HOME/gemma4ctl``, by default under ``~/.local/state``."""
    base = Path(environment.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # as the XDG specification has it
        base = _home(environment) / ".local" / "state"
    return base / OURS


def config(environment: Mapping[str, str]) -> Path:
    """The user's own files: ``$XDG_CONFIG_HOME/gemma4ctl``, by default under ``~/.config``."""
    base = environment.get("XDG_CONFIG_HOME") or _home(environment) / ".config"
    return Path(base) / OURS


def hugging_face(environment: Mapping[str, str]) -> Path:
    """huggingface_hub's files: ``HF_HOME``, by default ``~/.cache/huggingface``."""
    cache = environment.get("XDG_CACHE_HOME") or _home(environment) / ".cache"
    return expanded(environment.get("HF_HOME") or f"{cache}/huggingface")


def hub_cache(environment: Mapping[str, str]) -> Path | None:
    """The folder of models that a variable moves elsewhere; None: ``hub`` in the one above."""
    named = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    return expanded(named) if named else None


def expanded(path: str) -> Path:
    """``path`` with the home folder that its ``~`` names; as it is where nobody knows that one."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's own raises for unknown ones


def make(folder: Path, *, private: bool = False) -> None:
    """Make ``folder`` and all that leads to it; ``private``: for its owner alone.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
    except OSError as error:
        raise UsageError(
            f"the folder {folder} cannot be made",
            needed="a place that you can write to",
            found=error.strerror or str(error),
            code="output-unwritable",
        ) from error


def _home(environment: Mapping[str, str]) -> Path:
    """The user's home folder; ``/`` for one who has none, as container runtimes have it."""
    home = Path(environment.get("HOME") or expanded("~"))
    return home if home.is_absolute() else Path("/")
