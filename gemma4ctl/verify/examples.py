"""Requests as files to run, in Python and for a shell, filled in for one endpoint."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from gemma4ctl import folders
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.rendering.files import write_new
from gemma4ctl.verify import media
from gemma4ctl.verify.run import Options, Target, find

MARKER = "Written by gemma4ctl verify --examples"
LANGUAGES = ("py", "sh")
MEDIA = {
    "image": ("image.png", media.png("red")),
    "audio": ("tone.wav", media.wav()),
}


def write_examples(
    endpoint: Endpoint, options: Options, folder: Path, *, force: bool = False
) -> list[Path]:
    """Write the examples for what ``endpoint`` serves into ``folder``; the files' paths.

    A file that somebody else wrote or changed is only replaced with ``force``.

    Raises:
        EndpointUnreachableError: nothing answers there.
        UsageError: a file exists already, or cannot be written.
    """
    target = find(endpoint, options)
    folders.make(folder)
    written = []
    for name in names(target):
        for language in LANGUAGES:
            path = folder / f"{name}.{language}"
            mode = 0o755 if language == "sh" else 0o644
            write_new(path, _text(path.name, target), marker=MARKER, force=force, mode=mode)
            written.append(path)
        if name in MEDIA:
            file, data = MEDIA[name]
            written.append(_write_media(folder / file, data, force=force))
    return written


def names(target: Target) -> Iterator[str]:
    """The examples for what is served at ``target``."""
    facts, modalities = target.facts, target.modalities
    yield "chat"
    for kind, served in (("image", facts.has_images), ("audio", facts.has_audio)):
        if served is not False and kind in (modalities or ("image",)):
            yield kind
    parsers = {"thinking_stream": "reasoning_parser", "tools_stream": "tool_call_parser"}
    for name, argument in parsers.items():
        if facts.server_args is None or facts.argument(argument):
            yield name


def _write_media(path: Path, data: bytes, *, force: bool) -> Path:
    """Write ``data`` unless it is there already: media have no line that says who wrote them."""
    if not path.is_file() or path.read_bytes() != data:
        write_new(path, data, marker=MARKER, force=force)
    return path


def _text(name: str, target: Target) -> str:
    values = {
        "marker": MARKER,
        "base_url": target.endpoint.openai_url,
        "model": target.model,
    }
    text: str = _environment().get_template(f"{name}.j2").render(values)
    return text


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - scripts; every value goes through a filter
        loader=PackageLoader("gemma4ctl.verify", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"python": _python, "shell": shlex.quote, "here": _here}
    return environment


def _python(value: str) -> str:
    """``value`` as a Python literal."""
    return json.dumps(value)


def _here(value: str) -> str:
    """``value`` as a JSON text inside a here document that expands variables."""
    text = json.dumps(value)
    return text.replace("\\", "\\\\").replace("$", "\\$").replace("`", "\\`")
