"""Asking a server; its answers are constructed in the form SGLang 0.5.16 gives them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gemma4ctl.certifying import collect
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.http import Answer
from gemma4ctl.errors import ServerFailedError

WHERE = Endpoint("http://127.0.0.1:1", None)
INFO = {
    "input_token_logprobs": [[None, 5, None], [-1.5, 6, None]],
    "output_token_logprobs": [[-0.25, 7, None], [-0.5, 8, None]],
    "output_top_logprobs": [
        [[-0.25, 7, None], [-2.0, 1, None]],
        [[-0.5, 8, None], [-3.0, 2, None]],
    ],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answers every request with ``INFO`` and keeps what was asked."""
    seen: list[dict[str, Any]] = []

    def post(endpoint: Endpoint, path: str, document: Any, timeout_s: float) -> Answer:
        assert (endpoint, path) == (WHERE, "/generate")
        seen.append(document)
        body = json.dumps({"text": "", "meta_info": INFO}).encode()
        return Answer(200, body, "application/json", None, 0.0)

    monkeypatch.setattr(collect, "post", post)
    return seen


def test_an_answer_becomes_a_sample(asked: Any) -> None:
    (found,) = collect.collect(WHERE, [[1, 2]], 1)
    assert found.given == (-1.5,)
    assert (found.tokens, found.logprobs) == ((7, 8), (-0.25, -0.5))
    assert found.second == (-2.0, -3.0)


def test_only_the_end_of_a_prompt_is_asked_for(asked: Any) -> None:
    """Log-probabilities of a whole long prompt would take gigabytes of logits."""
    collect.collect(WHERE, [[1] * 10, [1] * 9000], 2)
    assert sorted(document["logprob_start_len"] for document in asked) == [0, 9000 - 32]
    for document in asked:
        assert document["sampling_params"]["temperature"] == 0
        assert document["sampling_params"]["ignore_eos"] is True


def test_less_of_the_prompts_where_many_are_computed_at_once(asked: Any) -> None:
    collect.collect(WHERE, [[1] * 10, [1] * 60], 2, 4)
    assert sorted(document["logprob_start_len"] for document in asked) == [6, 56]


def test_answers_are_in_the_order_of_the_prompts(asked: Any) -> None:
    assert len(collect.collect(WHERE, [[n] for n in range(1, 20)], 4)) == 19


def test_time_is_that_of_the_tokens_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {1: 0.5, collect.TIMED_TOKENS: 0.5 + 127 * 0.004}
    monkeypatch.setattr(collect, "_seconds", lambda endpoint, tokens: times[tokens])
    assert collect.seconds_per_token(WHERE) == pytest.approx(0.004)


def test_a_timed_request_is_a_plain_one(asked: Any) -> None:
    assert collect._seconds(WHERE, 3) >= 0
    assert "return_logprob" not in asked[0]
    assert asked[0]["sampling_params"]["max_new_tokens"] == 3


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, b"out of memory", "text/plain", "status 500: out of memory", 0.0),
        Answer(None, b"", None, "connection refused", 0.0),
        Answer(200, b"[]", "application/json", None, 0.0),
    ],
)
def test_a_prompt_that_is_not_answered(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setattr(collect, "post", lambda *rest: answer)
    with pytest.raises(ServerFailedError, match="2 tokens was not answered"):
        collect.collect(WHERE, [[1, 2]], 1)


@pytest.mark.parametrize("name", list(INFO))
def test_another_form_is_said(asked: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(INFO, name, None)
    with pytest.raises(ServerFailedError, match="another form"):
        collect.collect(WHERE, [[1, 2]], 1)
