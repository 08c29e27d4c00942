"""Asking a server about images; its answers are constructed in the form SGLang 0.5.16 gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemma4ctl.certifying import images
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.http import Answer
from gemma4ctl.errors import ServerFailedError

WHERE = Endpoint("http://127.0.0.1:1", None)


def entry(token: str, logprob: float, *others: tuple[str, float]) -> dict[str, Any]:
    likeliest = [(token, logprob), *others]
    top = [{"token": text, "logprob": value, "bytes": []} for text, value in likeliest]
    return {"token": token, "logprob": logprob, "bytes": [], "top_logprobs": top}


CONTENT = [entry("a", -0.25, ("b", -2.0)), entry("", -0.5)]


def answering(monkeypatch: pytest.MonkeyPatch, status: int, document: Any) -> list[Any]:
    seen: list[Any] = []

    def post(endpoint: Endpoint, path: str, asked: Any, timeout_s: float) -> Answer:
        assert (endpoint, path) == (WHERE, "/v1/chat/completions")
        seen.append(asked)
        body = json.dumps(document).encode()
        return Answer(status, body, "application/json", None, 0.0)

    monkeypatch.setattr(images, "post", post)
    return seen


def test_an_answer_becomes_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = answering(monkeypatch, 200, {"choices": [{"logprobs": {"content": CONTENT}}]})
    found = images.collect(WHERE, 2)
    assert len(found) == len(seen) == 3
    assert len({json.dumps(asked["messages"]) for asked in seen}) == 3
    assert all(asked["ignore_eos"] and asked["temperature"] == 0 for asked in seen)
    assert found[0].given == ()
    assert found[0].logprobs == (-0.25, -0.5)
    assert found[0].second == (-2.0, -0.5)  # two tokens of one text: SGLang shows one of them
    assert len(set(found[0].tokens)) == 2


def test_the_last_question_has_two_images() -> None:
    counts = [sum(part["type"] == "image_url" for part in asked) for asked in images.questions()]
    assert counts == [1, 1, 2]


@pytest.mark.parametrize(
    "document", [{"error": "no images"}, {"choices": [{"logprobs": None}]}, {"choices": []}, None]
)
def test_an_answer_without_logprobs_is_told(monkeypatch: pytest.MonkeyPatch, document: Any) -> None:
    answering(monkeypatch, 200, document)
    with pytest.raises(ServerFailedError, match="image"):
        images.collect(WHERE, 1)
