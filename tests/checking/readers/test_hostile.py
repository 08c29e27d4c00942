"""Any text is read: nothing raises, nothing takes long, and places stay right."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4ctl.checking.readers import read
from tests.checking.readers.reading import check_place
from tests.effort import linear

NAMES = ["a.sh", "a.md", "a.mdx", "a.rst", "Dockerfile", "a.service", "a.container", "a.txt"]
WORDS = r"""
    sglang serve --x y 'a b' "c $D" \ ' " ` $( ) ( ${A ${A:-b} } A=1 A=(x "$A") "${A[@]}" A+=$A
    export if then fi for do done case esac { ; & && | > < << <<EOF EOF <<< # $ $' $(( )) bash -c
    docker run -p -e --entrypoint img python -m sglang.launch_server FROM CMD ENTRYPOINT ENV RUN
    [" "] , ["sglang","serve","--x"] [Service] ExecStart= [Container] Exec=
    Image= Environment= %i %% $$ ``` ```bash ~~~ :: .. code-block:: sh
    <MODEL> {{ }} gemma4ctl: ignore=A é
"""
LINES = ["\n", "\n\n", "\\\n", "\r\n", "\r", " ", "\t", "\n    ", "\n> ", "\u2028", "\ufeff"]
QUOTABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)
SCRIPT = "bash <<EOF\nsglang serve\nEOF\n"
PIECES = st.sampled_from([*WORDS.split(), *LINES, SCRIPT])
TEXTS = st.lists(PIECES, max_size=40).map(" ".join) | st.lists(PIECES, max_size=40).map("".join)


@settings(deadline=None, max_examples=300)
@given(TEXTS | st.text(max_size=200), st.sampled_from(NAMES))
def test_nothing_raises_and_places_are_right(text: str, name: str) -> None:
    text += "\nsglang serve"
    for launch in read(Path(name), text):
        for word in launch.words:
            check_place(word, text)


@settings(deadline=None, max_examples=300)
@given(TEXTS)
def test_a_word_as_written_means_its_text(text: str) -> None:
    for launch in read(Path("a.sh"), "sglang serve " + text):
        for word in launch.words:
            slice_ = ("sglang serve " + text)[word.start : word.end]
            if word.start < 0 or word.style != "shell" or _differs(slice_):
                continue
            assert word.certain
            assert shlex.split(slice_) == [word.text]


def _differs(written: str) -> bool:
    """Whether ``shlex`` reads this otherwise than a shell does."""
    return any(mark in written for mark in ("\\\n", "\\\r", "\\$", "\\`", "$'", '$"', "\r", "\\"))


@settings(deadline=None, max_examples=100)
@given(st.lists(QUOTABLE))
def test_quoted_words_come_back(words: list[str]) -> None:
    text = "sglang serve --x " + shlex.join(words)
    (launch,) = read(Path("a.sh"), text)
    assert list(launch.argv) == ["--x", *words]


HOSTILE = {
    "parentheses": "(",
    "quotes": '"""',
    "single quotes": "'\n\"\n",
    "backslashes": "\\",
    "substitutions": "$(",
    "quoted substitutions": '"$(\n',
    "expansions": "${",
    "defaults": "${a:-",
    "backquotes": "`",
    "here-documents": "cat <<A\n",
    "here-documents in a line": "<<a ",
    "arrays": "a=(",
    "doubling variables": "A=$A$A\n",
    "doubling arrays": 'A+=(--x "${A[@]}")\n',
    "placeholders": "<a",
    "arithmetic": "$((",
    "nested scripts": 'bash -c "',
    "stages": "FROM a AS a\nENV A=$A$A\n",
    "lists": 'CMD ["a",',
    "fences": "```\n",
    "blocks": "> ",
    "items": "- ",
    "tags": "<a>\n",
    "returns": "\r",
    "directives": "# gemma4ctl: a=b\nsglang serve\n",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear(piece: str) -> None:
    def read_all(length: int) -> None:
        text = piece * (length // len(piece)) + "\nsglang serve --x"
        for name in ("a.sh", "Dockerfile", "a.md"):
            read(Path(name), text)

    assert linear(read_all, 20_000)


def test_exported_variables_are_bounded() -> None:
    text = "".join(f"export A{number}=1\n" for number in range(400)) + "sglang serve"
    (launch,) = read(Path("a.sh"), text)
    assert len(launch.environment) == 256
