"""The same words for an endpoint that is not there, whoever asks."""

from __future__ import annotations

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.endpoint.presence import EndpointUnreachableError, require_answer, require_model
from gemma4ctl.errors import ProblemsFoundError

URL = "http://127.0.0.1:30000"
PATHS = ("/v1/models", "/model_info", "/server_info")


def silent(problem: str) -> Facts:
    return Facts(problems=tuple(f"{path}: {problem}" for path in PATHS))


def test_the_first_model_is_taken() -> None:
    facts = Facts(model_ids=("a", "b"))
    require_answer(Endpoint(URL), facts)
    assert require_model(Endpoint(URL), facts) == "a"


@pytest.mark.parametrize("problem", ["Connection refused", "no complete answer within 10 s"])
def test_nothing_answers(problem: str) -> None:
    with pytest.raises(EndpointUnreachableError, match=f"nothing answers at {URL}") as caught:
        require_model(Endpoint(URL), silent(problem))
    assert caught.value.found == problem  # once, not for each question
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("key", "said"), [(None, "an API key is missing"), ("k", "refuses the API key")]
)
def test_the_key_is_wrong(key: str | None, said: str) -> None:
    with pytest.raises(ProblemsFoundError, match=said) as caught:
        require_model(Endpoint(URL, key), silent("HTTP 401"))
    assert "GEMMA4CTL_API_KEY" in str(caught.value)


@pytest.mark.parametrize("facts", [silent("HTTP 404"), Facts(model_path="x")])
def test_no_model(facts: Facts) -> None:
    require_answer(Endpoint(URL), facts)
    with pytest.raises(ProblemsFoundError, match="no model is served") as caught:
        require_model(Endpoint(URL), facts)
    assert caught.value.exit_code == 4
