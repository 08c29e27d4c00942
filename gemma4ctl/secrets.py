"""The API key: read from the environment or a file, handed to SGLang in a 0600 file.

SGLang takes its key as ``--api-key``, which every user of the machine could read, or from a YAML
file named with ``--config``. The key is only ever written to such a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from gemma4ctl.errors import UsageError

VARIABLE = "GEMMA4CTL_API_KEY"
LARGEST_KEY = 4096  # characters


def find_api_key(environment: Mapping[str, str], file: str | None) -> SecretStr | None:
    """The API key from ``file``, else from the environment; None when neither is set.

    Raises:
        UsageError: the file is unreadable or holds no single line of printable characters.
    """
    if file is None:
        key = environment.get(VARIABLE, "")
        return _checked(key, VARIABLE) if key else None
    try:
        return _checked(Path(file).expanduser().read_text(encoding="utf-8").strip(), file)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the API key file {file} cannot be read",
            needed="a file that holds the key on one line",
            found=str(error),
            code="api-key-unreadable",
        ) from None


def _checked(key: str, where: str) -> SecretStr:
    if not key.isprintable() or not key or len(key) > LARGEST_KEY or " " in key:
        raise UsageError(
            f"{where} holds no usable API key",
            needed=f"one line of at most {LARGEST_KEY} printable characters without spaces",
            code="api-key-unusable",
        )
    return SecretStr(key)


def config_path(environment: Mapping[str, str], port: int) -> Path:
    """Where the SGLang config file with the key of a server on ``port`` is kept."""
    home = environment.get("XDG_STATE_HOME")
    state = Path(home) if home else Path(environment.get("HOME", "~"), ".local", "state")
    return state.expanduser() / "gemma4ctl" / f"api-key-{port}.yaml"


def write_config(path: Path, key: SecretStr) -> None:
    """Write the key for SGLang to ``path``, readable by its owner only.

    Raises:
        UsageError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(f"api-key: {json.dumps(key.get_secret_value())}\n")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            f"the API key cannot be kept in {path}",
            needed="a folder that you can write to",
            found=str(error),
            remedies=["set XDG_STATE_HOME to such a folder"],
            code="api-key-unwritable",
        ) from None
