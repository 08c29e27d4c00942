"""What is shown is what is there."""

from __future__ import annotations

import pytest

from gemma4ctl.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines, é, 模", "two\nlines, é, 模"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\rb\tc\x9b", r"a\rb\tc\x9b"),
        ("\ud800\u202e", r"\ud800\u202e"),
    ],
)
def test_what_would_not_be_shown_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
