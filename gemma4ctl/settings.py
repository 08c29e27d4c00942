"""Where the value of an option comes from: flag > environment > project file > user file.

The project file is ``gemma4ctl.yaml`` in the working directory, the user file
``$XDG_CONFIG_HOME/gemma4ctl/config.yaml``; both hold options by name, ``context-length: 32768``.
The environment variable of an option is ``GEMMA4CTL_CONTEXT_LENGTH``. Whatever none of them sets
is left to the rules.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any, NamedTuple

from gemma4ctl import folders
from gemma4ctl.errors import UsageError

PREFIX = "GEMMA4CTL_"
PROJECT_FILE = "gemma4ctl.yaml"
USER_FILE = "config.yaml"
LARGEST_FILE = 1 << 20  # bytes
LARGEST_NUMBER = 10**9
LONGEST_SHOWN = 60  # characters


class BadValueError(ValueError):
    """A text that is no value of an option; the message says what is allowed."""


def boolean(text: str) -> bool:
    """ "yes" or "no", in the usual spellings."""
    known = {"1": True, "true": True, "yes": True, "on": True}
    known |= {"0": False, "false": False, "no": False, "off": False}
    if text.strip().lower() not in known:
        raise BadValueError("true or false")
    return known[text.strip().lower()]


def whole(text: str) -> int:
    """A whole number of at least 1; ``32k`` means 32,768."""
    plain = text.strip().lower()
    factor = 1024 if plain.endswith("k") else 1
    try:
        value = int(plain.removesuffix("k")) * factor
    except ValueError:
        raise BadValueError("a whole number, such as 32768 or 32k") from None
    if not 1 <= value <= LARGEST_NUMBER:
        raise BadValueError(f"a whole number from 1 to {LARGEST_NUMBER:,}")
    return value


def port(text: str) -> int:
    """A TCP port."""
    plain = text.strip()
    if not re.fullmatch(r"[0-9]{1,5}", plain) or not 1 <= int(plain) <= 65535:
        raise BadValueError("a port from 1 to 65535")
    return int(plain)


def gpus(text: str) -> int | tuple[str, ...]:
    """A number of GPUs, or their ids: indices with a comma, or UUIDs."""
    if re.fullmatch(r"\s*[-+]?[0-9]+\s*", text):
        return whole(text)
    ids = tuple(part.strip() for part in text.split(",") if part.strip())
    if not ids:
        raise BadValueError("a number of GPUs, or ids: 2  0,  0,3  GPU-1a2b,GPU-3c4d")
    return ids


def fraction(text: str) -> float | str:
    """A share between 0 and 1, or "auto"."""
    if text.strip().lower() == "auto":
        return "auto"
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise BadValueError("a number between 0 and 1, or auto")
    return value


def one_of(*allowed: str) -> Callable[[str], str]:
    """A converter that accepts ``allowed``, in any case."""

    def convert(text: str) -> str:
        if text.strip().lower() not in allowed:
            raise BadValueError(", ".join(allowed))
        return text.strip().lower()

    return convert


def several_of(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    """A converter for comma-separated members of ``allowed``; kept in the order of ``allowed``."""

    def convert(text: str) -> tuple[str, ...]:
        given = {part.strip().lower() for part in text.split(",") if part.strip()}
        if not given or given - set(allowed):
            raise BadValueError("a list of " + ", ".join(allowed))
        return tuple(name for name in allowed if name in given)

    return convert


def text(value: str) -> str:
    """Any text but an empty one, as far as a command line can hold it."""
    if not value.strip():
        raise BadValueError("a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadValueError("text in UTF-8; rename that file or folder") from None
    if "\0" in value:
        raise BadValueError("text without NUL characters")
    return value


def address(text: str) -> str:
    """A host name, or an IP address without a port."""
    plain = text.strip()
    try:
        if ":" in plain:
            from ipaddress import IPv6Address

            IPv6Address(plain)
        elif not re.fullmatch(r"[A-Za-z0-9_.-]+", plain):
            raise ValueError
    except ValueError:
        raise BadValueError("a host name or address alone, such as 127.0.0.1 or ::") from None
    return plain


_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REGISTRY = r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9+._-]*:[0-9A-Fa-f]{32,}"
_IMAGE = re.compile(f"(?:{_REGISTRY}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?")


def image(text: str) -> str:
    """A reference to a container image: registry, name, tag and digest."""
    plain = text.strip()
    if not _IMAGE.fullmatch(plain):
        raise BadValueError("an image reference, such as lmsysorg/sglang:v0.5.16")
    return plain


# Option name -> how its text is read. The names are those of the request's fields.
OPTIONS: dict[str, Callable[[str], Any]] = {
    "model": text,
    "checkpoint": text,
    "model_path": text,
    "draft_path": text,
    "hardware": text,
    "gpus": gpus,
    "hardware_file": text,
    "tp_size": whole,
    "mtp": boolean,
    "modality": several_of("text", "image", "audio"),
    "context_length": whole,
    "concurrency": whole,
    "request_tokens": text,
    "optimize": boolean,
    "safe": boolean,
    "objective": one_of("latency", "balanced", "throughput"),
    "mem_fraction": fraction,
    "sglang_version": text,
    "image": image,
    "kernels": one_of("auto", "stock", "fused"),
    "reasoning": boolean,
    "tools": boolean,
    "host": address,
    "port": port,
    "api_key_file": text,
    "profiles": text,
    "runtime": one_of("auto", "local", "docker"),
    "ready_timeout": whole,
    "grace": whole,
}
SECRETS = ("api_key",)  # in the environment only: a file of options is no place for them


class Settings(NamedTuple):
    """The values that were set, and where each came from."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of option ``name``."""
        return self.values.get(name, default)


def gather(
    flags: Mapping[str, Any],
    environment: Mapping[str, str] = os.environ,
    *,
    project: Path | None = None,
    user: Path | None = None,
) -> Settings:
    """The settings of one invocation.

    Args:
        flags: option name -> text, bool or None (not given), from the command line.
        environment: the process's environment.
        project: the project file; default ``gemma4ctl.yaml`` in the working directory.
        user: the user file; default under ``$XDG_CONFIG_HOME``.

    Raises:
        UsageError: a value is not allowed, or a file is unreadable or has an unknown key.
    """
    project = project or Path(PROJECT_FILE)
    user = user or folders.config(environment) / USER_FILE
    layers = [
        (f"user file {user}", _file(user)),
        (f"project file {project}", _file(project)),
        ("environment", _environment(environment)),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for name, value in layer.items():
            where = f"environment {PREFIX}{name.upper()}" if origin == "environment" else origin
            values[name] = _read(name, value, where)
            origins[name] = where
    return Settings(values, origins)


def option_name(name: str) -> str:
    """How option ``name`` is written on the command line."""
    return "--" + name.replace("_", "-")


def _read(name: str, value: Any, origin: str) -> Any:
    """``value`` as option ``name`` reads it."""
    try:
        return OPTIONS[name](_as_text(value))
    except BadValueError as error:
        raise UsageError(
            f"{option_name(name)} does not take {_shown(value)}",
            needed=str(error),
            found=f"{_shown(value)} ({origin})",
            code="bad-value",
        ) from None


def _as_text(value: Any) -> str:
    """A value of YAML as it would stand on the command line; a list ends in a comma."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return "".join(f"{item}," for item in value)
    if isinstance(value, (list, dict)):
        raise BadValueError("one value, or a list of values")
    return str(value)


def _shown(value: Any) -> str:
    """``value`` for a message: on one line, and not longer than that."""
    return _Shown().repr(value)


class _Shown(Repr):
    """Texts whole or not at all: in a part of a text a secret is not recognised."""

    def repr_str(self, x: str, level: int) -> str:
        return repr(x) if len(x) <= LONGEST_SHOWN else f"a text of {len(x):,} characters"


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    named = {name: environment.get(PREFIX + name.upper()) for name in OPTIONS}
    return {name: value for name, value in named.items() if value}


def _file(path: Path) -> dict[str, Any]:
    """The options that a file sets; {} where there is none."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise _bad_file(path, "it is larger than 1 MiB")
        content = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _bad_file(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _bad_file(path, f"byte {error.start} is not UTF-8 text") from error
    return _options(path, content)


def _options(path: Path, content: str) -> dict[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(content) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise _bad_file(path, f"line {line}: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _bad_file(path, " ".join(str(error).split())) from error
    if not isinstance(read, dict):
        raise _bad_file(path, "it is no mapping of options")
    options = {str(name).replace("-", "_"): value for name, value in read.items()}
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise _bad_file(path, _unknown(unknown[0]))
    return {name: value for name, value in options.items() if value is not None}


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    if name in SECRETS:
        return f"{name} is a secret: use the environment {PREFIX}{name.upper()} or api-key-file"
    near = get_close_matches(name, OPTIONS, n=1)
    hint = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
    return f"{name.replace('_', '-')} is no option{hint}"


def _bad_file(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"{path} cannot be used: {problem}",
        needed="options by name, such as `context-length: 32768`",
        remedies=["options: " + ", ".join(name.replace("_", "-") for name in OPTIONS)],
        code="bad-options-file",
    )
