"""What the tests of the readers share: reading a text, and showing what was found."""

from __future__ import annotations

from pathlib import Path

from gemma4ctl.checking.launch import Launch, Word
from gemma4ctl.checking.readers import read


def launches(text: str, name: str = "run.sh") -> list[Launch]:
    """The launches of ``text`` as a file ``name``; every place in them is checked."""
    found = read(Path(name), text)
    for launch in found:
        for word in launch.words:
            check_place(word, text)
    return found


def launch(text: str, name: str = "run.sh") -> Launch:
    """The only launch of ``text``."""
    (found,) = launches(text, name)
    return found


def argv(text: str, name: str = "run.sh") -> list[str]:
    """The words of the only launch of ``text``."""
    return list(launch(text, name).argv)


def written(text: str, name: str = "run.sh") -> list[str | None]:
    """The words of the only launch as written; None for those not written as one piece."""
    return [text[w.start : w.end] if w.start >= 0 else None for w in launch(text, name).words]


def uncertain(text: str, name: str = "run.sh") -> list[str]:
    """The words whose value is not known."""
    return [word.text for word in launch(text, name).words if not word.certain]


def check_place(word: Word, text: str) -> None:
    lines = text.replace("\r\n", "\n\0").replace("\r", "\n").split("\n")
    assert 1 <= word.place.line <= len(lines)
    assert (word.start < 0) == (word.end < 0)
    if word.start >= 0:
        before = text[: word.start].replace("\r\n", "\n").replace("\r", "\n")
        column = word.start - max(text.rfind("\n", 0, word.start), text.rfind("\r", 0, word.start))
        assert word.place.line == before.count("\n") + 1
        assert word.place.column == column
        assert word.start < word.end <= len(text)
