"""Words to put in the place of a word, written as its kind of file writes words."""

from __future__ import annotations

import re

from gemma4ctl.checking.finding import Fix
from gemma4ctl.checking.launch import Word

ITEM_BREAK = "\0"  # in a fix, between the items of a YAML list; :func:`fix.quoted` replaces it
# Text that YAML takes for a string without quotes, as numbers and booleans are not.
_PLAIN_IN_YAML = re.compile(
    r"--[\w-]+(?:=[\w./]+)?|(?!(?i:true|false|null|yes|no|on|off|[yn])$)[A-Za-z][\w./-]*"
)


def replacement(word: Word | None, words: tuple[str, ...] | None) -> Fix | None:
    """``words`` for the place of ``word``; None where it is not written there as one piece."""
    if word is None or words is None or word.start < 0:
        return None
    return Fix(word.start, word.end, _written(words, word))


def addition(word: Word, words: tuple[str, ...]) -> Fix | None:
    """``words`` behind ``word``; None where it is not written there as one piece."""
    if word.start < 0:
        return None
    if word.style == "yaml":  # an item of its own for each
        return replacement(word, (word.text, *words))
    before = " " if word.style == "shell" else ", "
    return Fix(word.end, word.end, before + _written(words, word))


def _written(words: tuple[str, ...], word: Word) -> str:
    import json
    import shlex

    if word.style == "shell":
        return " ".join(shlex.quote(text) for text in words)
    if word.style == "json":
        return ", ".join(json.dumps(text, ensure_ascii=False) for text in words)
    return ITEM_BREAK.join(
        text if _PLAIN_IN_YAML.fullmatch(text) else json.dumps(text, ensure_ascii=False)
        for text in words
    )
