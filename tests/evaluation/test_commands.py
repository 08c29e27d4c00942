from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from gemma4ctl.evaluation.commands import Settings, check, child_environment, command
from gemma4ctl.evaluation.evaluators import Evaluator

SGL = Evaluator("sgl-eval", "py", "0.1.3")
RUN = Evaluator("run_eval", "py", "0.5.16")
RAW = Evaluator("few_shot", "py", "0.5.16")
OPEN = Endpoint("http://localhost:30000")
CLOSED = Endpoint("http://localhost:30000", "secret-key")
FOLDER = Path("/kept")


def words(evaluator: Evaluator, settings: Settings, endpoint: Endpoint = OPEN) -> str:
    argv = command(evaluator, "gsm8k", settings, endpoint, model="m", folder=FOLDER)
    return " ".join(argv)


def test_sgl_eval() -> None:
    assert words(SGL, Settings(64)) == (
        "py -m sgl_eval.cli run gsm8k --base-url http://localhost:30000/v1 --model m "
        "--out-dir /kept --num-threads 64 --chat-template-kwarg enable_thinking=false"
    )


def test_run_eval() -> None:
    assert words(RUN, Settings(64)) == (
        "py -m sglang.test.run_eval --base-url http://localhost:30000 --model m "
        "--eval-name gsm8k --num-threads 64"
    )


def test_few_shot() -> None:
    assert words(RAW, Settings(64)) == (
        "py -m sglang.test.few_shot_gsm8k --host localhost --port 30000 --parallel 64"
    )
    assert "--port 80 " in words(RAW, Settings(64), Endpoint("http://host"))


FULL = Settings(8, limit=5, max_tokens=100, dataset=Path("/q.jsonl"))


@pytest.mark.parametrize(
    ("evaluator", "end"),
    [
        (SGL, "--num-examples 5 --max-tokens 100 --from-dataset /q.jsonl"),
        (RUN, "--num-examples 5 --max-tokens 100 --gsm8k-data-path /q.jsonl"),
        (RAW, "--num-questions 5 --max-new-tokens 100 --data-path /q.jsonl"),
    ],
)
def test_what_is_asked_for_is_passed_on(evaluator: Evaluator, end: str) -> None:
    assert words(evaluator, FULL).endswith(end)


def test_thinking_is_what_the_chat_template_reads() -> None:
    assert "enable_thinking=true" in words(SGL, Settings(1, thinking=True))
    thinking = words(RUN, Settings(1, thinking=True))
    assert thinking.endswith('--max-tokens 8192 --chat-template-kwargs {"enable_thinking": true}')


@pytest.mark.parametrize("evaluator", [SGL, RUN])
def test_the_key_is_in_the_environment_alone(evaluator: Evaluator) -> None:
    assert "secret-key" not in words(evaluator, FULL, CLOSED)
    given = child_environment(CLOSED, {"GEMMA4CTL_API_KEY": "secret-key", "HOME": "/h"})
    assert [name for name, value in given.items() if "secret-key" in value] == ["OPENAI_API_KEY"]
    assert given["HOME"] == "/h"


def test_a_key_of_somebody_else_is_not_sent() -> None:
    assert child_environment(OPEN, {"OPENAI_API_KEY": "mine"})["OPENAI_API_KEY"] == "EMPTY"


def test_no_proxy_leads_to_this_machine() -> None:
    given = child_environment(OPEN, {"NO_PROXY": "intern"})
    assert given["NO_PROXY"] == given["no_proxy"] == "intern,localhost"
    assert "NO_PROXY" not in child_environment(Endpoint("http://far:1"), {})


@pytest.mark.parametrize(
    ("evaluator", "task", "settings", "endpoint", "code"),
    [
        (RUN, "mmlu", FULL, OPEN, "dataset-not-taken"),
        (RUN, "mmmu", FULL, OPEN, "dataset-not-taken"),
        (RAW, "gsm8k", Settings(1), CLOSED, "harness-unable"),
        (RAW, "gsm8k", Settings(1, thinking=True), OPEN, "harness-unable"),
        (RAW, "gsm8k", Settings(1), Endpoint("https://far"), "harness-unable"),
        (RAW, "gsm8k", Settings(1), Endpoint("http://far/path"), "harness-unable"),
    ],
)
def test_what_an_evaluator_cannot_do_is_refused(evaluator, task, settings, endpoint, code) -> None:
    with pytest.raises(UsageError) as caught:
        check(evaluator, task, settings, endpoint)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("evaluator", "task"), [(SGL, "mmlu"), (SGL, "gsm8k"), (RUN, "gsm8k"), (RAW, "gsm8k")]
)
def test_what_it_can_do_is_not(evaluator, task) -> None:
    check(evaluator, task, FULL, OPEN)
