"""Keep secrets and terminal control sequences out of everything that is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

MASK = "***"

_SECRET_NAME = re.compile(r"(TOKEN|API_?KEY|SECRET|PASSWORD|CREDENTIAL)S?$", re.IGNORECASE)
_SHORTEST_UNNAMED_SECRET = 8  # shorter values of such variables are settings, not secrets

# SGLang prints its arguments, so keys that were given to it directly appear as repr.
_PATTERNS = (
    re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    re.compile(
        r"(?P<name>\b(?:admin_)?api_key=)(?P<quote>['\"])(?:\\.|(?!(?P=quote))[^\\])+(?P=quote)"
    ),
    re.compile(r"(?P<name>\bBearer )[A-Za-z0-9._~+/=-]{8,}"),
)

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """``text`` without ANSI escape sequences and control characters; tabs stay."""
    return _CONTROL.sub("", _ANSI.sub("", text))


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables whose names say that they are secret, such as ``HF_TOKEN``."""
    return tuple(
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_UNNAMED_SECRET
    )


def _spellings(secret: str) -> set[str]:
    """The ways a program may print ``secret``: as it is, as repr, as JSON, in a URL."""
    return {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")}


class Redactor:
    """Replaces known secrets, and what looks like one, by ``***``.

    ``longest`` is the length of the longest known spelling: text that is cut must lose that many
    characters at its end, so that no part of a secret stays.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {form for secret in secrets if secret for form in _spellings(secret)}
        ordered = sorted(spellings, key=lambda form: (-len(form), form))
        self.longest = len(ordered[0]) if ordered else 0
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """``text`` with every secret replaced."""
        if self._known:
            text = self._known.sub(MASK, text)
        for pattern in _PATTERNS:
            text = pattern.sub(lambda m: (m.groupdict().get("name") or "") + MASK, text)
        return text
