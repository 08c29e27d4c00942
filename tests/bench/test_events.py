"""What events say. They are constructed after the shapes that SGLang 0.5.16 sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemma4ctl.bench.events import BadEventError, Step, reader
from gemma4ctl.bench.payload import PATHS, Api, body
from gemma4ctl.bench.workload import Prompt

GENERATED = {
    "text": "a b",
    "output_ids": [1, 2],
    "meta_info": {
        "id": "7d",
        "finish_reason": None,
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "cached_tokens": 4,
        "spec_accept_length": 2.5,
    },
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}


def read(event: Any, api: Api) -> Step:
    return reader(api)(json.dumps(event).encode())


def generated(**changes: Any) -> dict[str, Any]:
    return {**GENERATED, "meta_info": {**GENERATED["meta_info"], **changes}}  # type: ignore[dict-item]


def test_generate() -> None:
    assert read(GENERATED, "generate") == Step(True, 9, 2, 4, 2.5)
    assert not read({**GENERATED, "text": ""}, "generate").has_text
    without = {name: value for name, value in GENERATED.items() if name != "text"}
    assert read(without, "generate").has_text  # a server without a tokenizer sends ids alone


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            {"error": {"message": "too long", "type": "invalid_request_error", "code": 400}},
            "too long",
        ),
        ({"error": "out of memory"}, "out of memory"),
        (generated(finish_reason={"type": "abort", "message": "aborted"}), "aborted"),
    ],
)
def test_generate_errors(event: Any, message: str) -> None:
    assert read(event, "generate").error == message


def test_generate_end() -> None:
    assert read(generated(finish_reason={"type": "length", "length": 2}), "generate").error is None


@pytest.mark.parametrize(
    ("choices", "has_text"),
    [
        ([{"index": 0, "text": "a", "finish_reason": None}], True),
        ([{"index": 0, "text": ""}], False),
        ([{"index": 0, "delta": {"role": "assistant", "content": ""}}], False),
        ([{"index": 0, "delta": {"content": "a"}}], True),
        ([{"index": 0, "delta": {"content": None, "reasoning_content": "a"}}], True),
        ([{"index": 0, "delta": {}, "finish_reason": "length"}], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("api", ["completions", "chat"])
def test_openai(choices: Any, has_text: bool, api: Api) -> None:
    assert read({"choices": choices, "usage": USAGE}, api) == Step(has_text, 9, 2, 4)
    assert read({"choices": choices, "usage": None}, api) == Step(has_text)


def test_openai_errors() -> None:
    event = {"object": "error", "error": {"message": "no such model", "code": 404}}
    assert read(event, "chat").error == "no such model"


@pytest.mark.parametrize("api", ["generate", "chat"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nonsense",
        b"[1]",
        b"7",
        b"{}",
        b'{"choices": 7, "meta_info": 7}',
        b'{"choices": [{"text": "\xff"}], "text": "\xff", "meta_info": {}}',
        b'{"choices": [{"text": 7}], "text": 7, "meta_info": {"completion_tokens": 1}}',
        b'{"text": "a", "meta_info": {}}',
    ],
)
def test_what_is_no_event(data: bytes, api: Api) -> None:
    with pytest.raises(BadEventError, match="the event"):
        reader(api)(data)


def test_what_is_sent() -> None:
    ids = Prompt(output_tokens=5, token_ids=(2, 7))
    assert json.loads(body(ids, "generate", "m")) == {
        "input_ids": [2, 7],
        "sampling_params": {"temperature": 0.0, "max_new_tokens": 5, "ignore_eos": True},
        "stream": True,
    }
    openai = {
        "model": "m",
        "temperature": 0.0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    sent = json.loads(body(ids, "completions", "m"))
    assert sent == {"prompt": [2, 7], "max_tokens": 5, **openai}
    shown = Prompt(output_tokens=5, text="look", images=("data:,1", "data:,2"))
    assert json.loads(body(shown, "chat", "m")) == {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:,1"}},
                    {"type": "image_url", "image_url": {"url": "data:,2"}},
                    {"type": "text", "text": "look"},
                ],
            }
        ],
        "max_completion_tokens": 5,
        **openai,
    }
    assert json.loads(body(shown, "generate", "m"))["text"] == "look"
    assert json.loads(body(shown, "generate", "m"))["image_data"] == ["data:,1", "data:,2"]
    assert json.loads(body(shown, "completions", "m"))["prompt"] == "look"
    assert set(PATHS) == {"generate", "completions", "chat"}
