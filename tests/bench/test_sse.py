"""Server-sent events, however a stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.bench import sse
from gemma4ctl.bench.sse import EventSplitter, OversizedEventError

STREAM = (
    'data: {"text": "añ€𝄞"}\n\n'
    ": keep-alive\n\n"
    "data:no space\n\n"
    "event: ping\nid: 7\n\n"
    "event: message\ndata: first\ndata: second\nretry: 1\n\n"
    "\n\ndata: \n\n"
    "data: [DONE]\n\n"
).encode()
EVENTS = ['{"text": "añ€𝄞"}'.encode(), b"no space", b"first\nsecond", b"", b"[DONE]"]


def fed(pieces: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [event for piece in pieces for event in splitter.feed(piece)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    ends = [*sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert fed(pieces) == EVENTS


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
@given(cuts=st.lists(st.integers(0, len(STREAM) + 20), max_size=12))
def test_other_line_ends(end: bytes, cuts: list[int]) -> None:
    stream = STREAM.replace(b"\n", end) + b"data: after\n\n"
    ends = [*sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert fed(pieces) == [*EVENTS, b"after"]


def test_one_byte_at_a_time() -> None:
    assert fed([STREAM[index : index + 1] for index in range(len(STREAM))]) == EVENTS


def test_everything_at_once_and_a_huge_event() -> None:
    huge = b"x" * (1 << 20)
    assert fed([STREAM + b"data: " + huge + b"\n\n"]) == [*EVENTS, huge]


def test_an_unfinished_event_is_kept_back() -> None:
    assert fed([b"data: half"]) == []
    assert fed([b"data: half", b" and half\n", b"\n"]) == [b"half and half"]


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LARGEST_EVENT", 1000)
    splitter = EventSplitter()
    assert splitter.feed(b"x" * 1000) == []
    with pytest.raises(OversizedEventError):
        splitter.feed(b"x")
