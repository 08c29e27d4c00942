"""A request as a line for a shell that works: the key stays in the environment."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from gemma4ctl.rendering.files import write_new

LONGEST_INLINE = 600  # characters of a body in the line itself
LONGEST_SHOWN = 60  # characters of a data URL, where the body cannot be kept in a file
_DATA = re.compile(rf"(data:[a-z]+/[a-z]+;base64,.{{{LONGEST_SHOWN}}})[^\"]*")
_KEY = '-H "Authorization: Bearer $GEMMA4CTL_API_KEY"'


def curl_line(endpoint: Endpoint, body: Mapping[str, Any], name: str, folder: Path) -> str:
    """The chat completion ``body`` as a curl command.

    A long body is written to ``folder``/``name``.json; where that is not possible its media are
    shortened, and the line shows the request without repeating it.
    """
    text = json.dumps(body, ensure_ascii=False)
    words = ["curl", "-sS", *(["-N"] if body.get("stream") else [])]
    key = [_KEY] if endpoint.api_key else []
    return " ".join(
        [
            *words,
            shlex.quote(f"{endpoint.openai_url}/chat/completions"),
            *key,
            "-H 'Content-Type: application/json'",
            "-d",
            _data(text, folder / f"{name}.json"),
        ]
    )


def get_line(endpoint: Endpoint, path: str) -> str:
    """``GET`` of a path as a curl command, with the status shown."""
    key = [_KEY] if endpoint.api_key else []
    return " ".join(["curl", "-sS", "-i", *key, shlex.quote(endpoint.url + path)])


def _data(text: str, file: Path) -> str:
    """The argument of ``-d``."""
    if len(text) <= LONGEST_INLINE:
        return shlex.quote(text)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new(file, text, marker="", force=True, mode=0o600)
    except (OSError, UsageError):
        return shlex.quote(_DATA.sub(r"\1...", text))
    return shlex.quote(f"@{file}")
