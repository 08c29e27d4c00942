"""Text of no known kind, read line by line; and how the reader is chosen."""

from __future__ import annotations

import pytest

from tests.checking.readers.reading import argv, launch, launches


def test_commands_among_prose() -> None:
    text = (
        "You can't do this.\nsglang serve starts a server.\n"
        "  $ sglang serve --x \\\n      --y\nIt's \"done\nsglang serve --z"
    )
    assert [found.argv for found in launches(text, "notes.txt")] == [("--x", "--y"), ("--z",)]


def test_variables_of_earlier_lines() -> None:
    assert argv("M=m\nsglang serve --x $M", "notes.txt") == ["--x", "m"]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.txt", "sglang serve --x", "text"),
        ("-", "sglang serve --x", "text"),
        ("start", "#!/usr/bin/env bash\nsglang serve", "shell"),
        ("a.BASH", "sglang serve", "shell"),
        ("a.txt", "#!/bin/sh\nsglang serve", "shell"),
        ("Makefile", "run:\n\tsglang serve --x", "text"),
    ],
)
def test_kinds(name: str, text: str, kind: str) -> None:
    assert launch(text, name).kind == kind


def test_a_file_without_sglang_is_not_read() -> None:
    assert launches("(" * 10_000_000, "a.sh") == []
