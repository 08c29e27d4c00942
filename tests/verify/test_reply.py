"""Answers of every form are read, or refused with a fault: never with another error."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.verify import reply
from gemma4ctl.verify.exchange import Exchange
from gemma4ctl.verify.faults import Fault
from tests.verify.brain import Said
from tests.verify.server import Completion

BODY = {"model": "m", "max_tokens": 64}
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
CALLS = (("get_weather", {"city": "Paris"}), ("get_time", {"city": "Tokyo"}))
COMPLETION = Completion("m", Said("Yes, sir.", "Let me see.", CALLS), "tool_calls", USAGE)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def exchange(data: bytes) -> Exchange:
    return Exchange(BODY, raw=bytearray(data))


def stream(chunks: list[Any], end: str = "\n\n") -> bytes:
    texts = [json.dumps(chunk) for chunk in chunks] + ["[DONE]"]
    return "".join(f"data: {text}{end}" for text in texts).encode()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside ``value``."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, part in inner:
        found.append((*path, key))
        if isinstance(part, (dict, list)):
            found += places(part, (*path, key))
    return found


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return document


WHOLE = COMPLETION.whole()
CHUNKS = list(COMPLETION.chunks())


def test_both_forms_of_an_answer_give_the_same() -> None:
    whole = reply.whole(exchange(json.dumps(WHOLE).encode()))
    streamed = reply.streamed(exchange(stream(CHUNKS)), 0.5)
    for answer in (whole, streamed):
        assert (answer.content, answer.reasoning) == ("Yes, sir.", "Let me see.")
        assert [(call.index, call.name) for call in answer.tool_calls] == [
            (0, "get_weather"),
            (1, "get_time"),
        ]
        assert json.loads(answer.tool_calls[1].arguments) == {"city": "Tokyo"}
        assert (answer.finish_reason, answer.usage) == ("tool_calls", reply.Usage(9, 5, None))
    assert (whole.first_token_s, streamed.first_token_s) == (None, 0.5)


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
def test_events_may_end_as_the_standard_allows(end: str) -> None:
    chunks = list(Completion("m", Said("a\u2028b\x85c"), "stop", USAGE).chunks())
    data = stream(chunks, end).replace(b"\\u2028", "\u2028".encode())
    assert reply.streamed(exchange(b": comment" + end.encode() + data), None).content == (
        "a\u2028b\x85c"
    )


@given(path=st.sampled_from(places(WHOLE)), value=json_values)
def test_a_changed_answer_is_read_or_a_fault(path: tuple[Any, ...], value: Any) -> None:
    data = json.dumps(changed(WHOLE, path, value)).encode()
    try:
        answer = reply.whole(exchange(data))
    except Fault as fault:
        assert fault.body is BODY
    else:
        assert isinstance(answer.content, str) and answer.usage.completion >= 1


@given(path=st.sampled_from(places(CHUNKS)), value=json_values)
def test_a_changed_stream_is_read_or_a_fault(path: tuple[Any, ...], value: Any) -> None:
    try:
        answer = reply.streamed(exchange(stream(changed(CHUNKS, path, value))), None)
    except Fault as fault:
        assert fault.body is BODY
    else:
        assert isinstance(answer.content, str) and answer.usage.completion >= 1


@given(data=st.binary(max_size=50))
def test_bytes_that_are_no_answer_are_a_fault(data: bytes) -> None:
    for read in (reply.whole, lambda found: reply.streamed(found, None)):
        with pytest.raises(Fault):
            read(exchange(data))


def test_a_tool_call_of_another_type_is_a_fault() -> None:
    custom = {"id": "1", "type": "custom", "custom": {"name": "x", "input": "y"}}
    document = changed(WHOLE, ("choices", 0, "message", "tool_calls"), [custom])
    with pytest.raises(Fault, match="of the type custom"):
        reply.whole(exchange(json.dumps(document).encode()))
