"""Replacements are written as the file writes words."""

from __future__ import annotations

import json

import pytest
import yaml

from gemma4ctl.checking.launch import Place, Style, Word
from gemma4ctl.checking.quoting import ITEM_BREAK, replacement


def text(style: Style, *words: str) -> str:
    fix = replacement(Word("x", Place(1, 1), 3, 4, style), words)
    assert fix is not None
    assert (fix.start, fix.end) == (3, 4)
    return fix.text


def test_shell_and_json() -> None:
    assert text("shell", "--a", "b c") == "--a 'b c'"
    assert json.loads("[" + text("json", "--a", 'é "c"') + "]") == ["--a", 'é "c"']


@pytest.mark.parametrize(
    "word",
    [
        "--tp-size",
        "--tp=2",
        "a/b.c-d",
        "2",
        "1e3",
        "0x1",
        "true",
        "No",
        "n",
        "null",
        "a: b",
        "",
        "~",
    ],
)
def test_yaml_words_stay_strings(word: str) -> None:
    assert yaml.safe_load(f"- {text('yaml', word)}") == [word]


def test_several_yaml_words_are_items() -> None:
    assert text("yaml", "--dtype", "half") == f"--dtype{ITEM_BREAK}half"


def test_no_place_no_replacement() -> None:
    assert replacement(None, ("a",)) is None
    assert replacement(Word("x", Place(1, 1), 3, 4), None) is None
    assert replacement(Word("x", Place(1, 1)), ("a",)) is None
