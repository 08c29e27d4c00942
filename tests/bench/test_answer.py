"""Reading one answer: which chunks bring tokens, and when an answer is not whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.bench.answer import Answer
from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.record import Record
from tests.bench.streams import DONE, answer, event, generated


def read(pieces: list[bytes], api: Api = "generate") -> tuple[Record, Answer, bool]:
    """The record after ``pieces``, one a second, and whether the answer has ended."""
    record = Record(0)
    reading = Answer(record, api)
    ended = [reading.feed(piece, float(second)) for second, piece in enumerate(pieces)]
    return record, reading, ended[-1]


def test_a_token_an_event() -> None:
    record, reading, ended = read(answer(3))
    assert ended
    assert reading.too_short(3) is None
    assert (list(record.times), list(record.tokens)) == ([0.0, 1.0, 2.0], [1, 1, 1])
    assert (record.prompt_tokens, record.completion_tokens, record.cached_tokens) == (9, 3, 0)


def test_several_events_in_a_piece_and_several_tokens_in_an_event() -> None:
    record, _, ended = read([generated(1), generated(2) + generated(5), generated(6) + DONE])
    assert ended
    assert (list(record.times), list(record.tokens)) == ([0.0, 1.0, 1.0, 2.0], [1, 1, 3, 1])


def test_events_without_new_text_bring_nothing() -> None:
    # A character that is not whole yet has a token but no text; the last event repeats the text.
    record, reading, _ = read([generated(1, ""), generated(2), generated(2), DONE])
    assert (list(record.times), list(record.tokens)) == ([1.0], [2])
    assert reading.too_short(2) is None


@given(st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_of_the_stream_gives_the_same_tokens(cuts: list[int]) -> None:
    stream = b"".join(answer(4))
    ends = [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    record, _, ended = read([stream[a:b] for a, b in zip([0, *ends], ends, strict=False)])
    assert ended
    assert sum(record.tokens) == record.completion_tokens == 4


def test_chunks_are_counted_until_the_usage_comes() -> None:
    chunk = event({"choices": [{"text": "a"}], "usage": None})
    usage = event({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}})
    record, reading, ended = read([chunk, chunk, usage, DONE], "completions")
    assert ended
    assert (list(record.tokens), record.completion_tokens) == ([1, 1], 3)
    assert reading.too_short(3) is None


def test_a_server_that_counts_nothing_is_believed() -> None:
    chunk = event({"choices": [{"delta": {"content": "a"}}]})
    record, reading, _ = read([chunk, DONE], "chat")
    assert reading.too_short(7) is None
    assert record.completion_tokens == 7


def test_too_short() -> None:
    _, reading, _ = read(answer(3))
    failure = reading.too_short(5)
    assert failure is not None
    assert (failure.kind, failure.message) == ("short-output", "3 of 5 tokens")


def test_tokens_without_any_text_are_no_answer() -> None:
    _, reading, ended = read([generated(5, ""), DONE])
    assert ended
    failure = reading.too_short(5)
    assert failure is not None
    assert failure.kind == "short-output"


def test_errors_and_cuts() -> None:
    record, reading, ended = read([generated(1), event({"error": {"message": "out of memory"}})])
    assert ended
    assert reading.failure is not None
    assert (reading.failure.kind, reading.failure.message) == ("server-error", "out of memory")
    record, reading, ended = read([generated(1)])
    assert not ended
    assert (reading.cut().kind, record.completion_tokens) == ("truncated", 1)


def test_draft_tokens_a_step() -> None:
    meta = {"prompt_tokens": 1, "completion_tokens": 4, "spec_accept_length": 2.5}
    record, _, _ = read([event({"text": "a", "meta_info": meta}), DONE])
    assert record.accept_length == 2.5


def test_what_is_no_stream_of_events() -> None:
    with pytest.raises(ValueError, match=r"the event: '\{'"):
        read([b"data: {\n\n"])
