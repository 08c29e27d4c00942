"""Splitting output into lines, and keeping secrets out of them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.launch.lines import MAX_LINE_BYTES, Line, LineSplitter
from gemma4ctl.launch.output import ServerOutput
from gemma4ctl.launch.redact import Redactor, plain, secrets_in
from tests.waiting import PATIENCE_S


def split(*chunks: bytes, limit: int = 100) -> list[Line]:
    splitter = LineSplitter(limit)
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()


def test_newlines_carriage_returns_and_both_end_a_line():
    assert split(b"a\nb\rc\r\nd") == [Line("a"), Line("b"), Line("c"), Line("d")]


def test_a_line_may_come_in_pieces():
    assert split(b"ab", b"c\r", b"\nd\n") == [Line("abc"), Line("d")]


def test_bad_utf8_is_kept_as_replacement_characters():
    assert split(b"\xff\xfe ok\n") == [Line("\ufffd\ufffd ok")]


def test_a_huge_line_is_cut_once_and_the_next_line_is_whole():
    lines = split(b"x" * 150, b"y" * 300, b"y\nnext\n")
    assert lines == [Line("x" * 100, cut=True), Line("next")]


def test_a_huge_line_in_one_chunk_is_cut():
    assert split(b"x" * 150 + b"\nnext\n") == [Line("x" * 100, cut=True), Line("next")]


@given(st.binary(max_size=400), st.integers(1, 50))
def test_cutting_the_input_differently_gives_the_same_lines(data, size):
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert split(*pieces, limit=1000) == split(data, limit=1000)


def test_plain_text_has_no_escape_sequences_or_control_characters():
    assert plain("\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07tab\there\x00") == "red tab\there"


@pytest.mark.parametrize("form", ["{}", "{!r}", "?key={}", "xx{}xx"])
def test_a_known_secret_is_replaced_wherever_it_stands(form):
    secret = "pa'ss\\wörd\n1"
    text = Redactor([secret])(form.format(secret))
    assert "***" in text
    assert "wörd" not in text


def test_the_longest_secret_goes_first():
    assert Redactor(["abc", "abcdef"])("abcdef") == "***"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("api_key='sk-1', port=1", "api_key=***, port=1"),
        ('admin_api_key="it\'s", port=1', "admin_api_key=***, port=1"),
        ("api_key=None", "api_key=None"),
        ("token hf_AbCdEfGhIjKlMnOpQr ok", "token *** ok"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
    ],
)
def test_what_looks_like_a_secret_is_replaced(text, kept):
    assert Redactor([])(text) == kept


def test_secret_variables_are_found_by_name():
    environment = {
        "HF_TOKEN": "0123456789",
        "OPENAI_API_KEY": "abcdefghij",
        "TOKENIZERS_PARALLELISM": "false-false",
        "MY_SECRET": "short",
        "HOME": "/home/somebody",
    }
    assert secrets_in(environment) == ("0123456789", "abcdefghij")


class Silent:
    def __init__(self) -> None:
        self.said: list[str] = []

    def event(self, event: object) -> None: ...

    def say(self, message: str) -> None:
        self.said.append(message)

    def close(self) -> None: ...


def run_output(data: bytes, log: io.TextIOBase, redact: Redactor) -> tuple[ServerOutput, Silent]:
    sink = Silent()
    output = ServerOutput(io.BytesIO(data), log, redact, sink)  # type: ignore[arg-type]
    output.start()
    output.finish(5)
    return output, sink


def test_a_secret_at_the_cut_of_a_huge_line_does_not_leak_in_part():
    secret = "abcdefghijklmnop"
    data = b"-" * (MAX_LINE_BYTES - 8) + secret.encode() * 2 + b"\n"
    log = io.StringIO()
    run_output(data, log, Redactor([secret]))
    assert "abcd" not in log.getvalue()
    assert log.getvalue().endswith("... [line cut]\n")


def test_a_full_disk_stops_the_log_but_not_the_reading():
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    output, sink = run_output(b"one\n" * 10 + b"two\n", Full(), Redactor([]))
    assert output.tail[-1] == "two"
    assert sink.said == ["warning: the server log stops here: [Errno 28] No space left on device"]


def test_a_secret_that_is_a_common_word_does_not_hide_readiness():
    log = io.StringIO()
    output, _ = run_output(
        b"The server is fired up and ready to roll!\n", log, Redactor(["server"])
    )
    assert output.ready.is_set()
    assert log.getvalue() == "The *** is fired up and ready to roll!\n"


def test_the_reader_takes_lines_as_they_come(tmp_path: Path):
    read, write = os.pipe()
    log = io.StringIO()
    output = ServerOutput(os.fdopen(read, "rb", buffering=0), log, Redactor([]), Silent())  # type: ignore[arg-type]
    output.start()
    os.write(write, b"The server is fired up and ready to roll!\n")
    assert output.ready.wait(PATIENCE_S)
    os.close(write)
    output.finish(2)
