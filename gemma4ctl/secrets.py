"""The API key: read from the environment or a file, handed to SGLang in a 0600 file.

SGLang takes its key as ``--api-key``, which every user of the machine could read, or from a YAML
file named with ``--config``. The key is only ever written to such a file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gemma4ctl import folders
from gemma4ctl.errors import UsageError

if TYPE_CHECKING:
    from pydantic import SecretStr

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
        with folders.expanded(file).open(encoding="utf-8") as stream:
            return _checked(stream.read(2 * LARGEST_KEY).strip(), file)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the API key file {file} cannot be read",
            needed="a file that holds the key on one line",
            found=getattr(error, "strerror", None) or str(error),
            code="api-key-unreadable",
        ) from None


def _checked(key: str, where: str) -> SecretStr:
    # SGLang turns its config file into arguments, where a value cannot start with a dash; HTTP
    # headers hold ASCII.
    if not re.fullmatch(r"(?!-)[!-~]+", key) or len(key) > LARGEST_KEY:
        raise UsageError(
            f"{where} holds no usable API key",
            needed=f"one line of at most {LARGEST_KEY} printable ASCII characters, without spaces "
            "and not starting with -",
            remedies=["openssl rand -hex 32 makes one"],
            code="api-key-unusable",
        )
    from pydantic import SecretStr  # only a command with a key pays for it

    return SecretStr(key)


def config_path(environment: Mapping[str, str], port: int) -> Path:
    """Where the key of a server on ``port`` is kept for commands and files that outlive us."""
    return folders.state(environment) / f"api-key-{port}.yaml"


def launch_config_path(environment: Mapping[str, str], port: int) -> Path:
    """A place for the key of one launch on ``port``: a name that no other launch or file has."""
    return folders.state(environment) / f"serve-{port}-{os.urandom(8).hex()}.yaml"


def write_config(path: Path, key: SecretStr) -> None:
    """Write the key for SGLang to ``path``, readable by its owner only.

    Raises:
        UsageError: the file cannot be written, or holds something else: a command or Compose file
            made earlier may depend on it.
    """
    content = f"api-key: {json.dumps(key.get_secret_value())}\n"
    _refuse_other(path, content)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise UsageError(
            f"the API key cannot be kept in {path}",
            needed="a folder that you can write to",
            found=error.strerror or str(error),
            remedies=["set XDG_STATE_HOME to such a folder"],
            code="api-key-unwritable",
        ) from None


def _refuse_other(path: Path, content: str) -> None:
    """Refuse to replace a file at ``path`` that holds anything but ``content``."""
    try:
        kept = path.read_bytes()
    except OSError:  # none there, or writing will say why not
        return
    if kept != content.encode():
        raise UsageError(
            f"{path} holds another API key",
            needed="one key for all commands and Compose files that are made for a port",
            remedies=["another --port", f"rm {path}, when nothing made earlier needs that key"],
            code="api-key-kept",
        )
