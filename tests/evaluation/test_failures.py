from __future__ import annotations

import pytest

from gemma4ctl.evaluation.evaluators import OFFERED, Evaluator
from gemma4ctl.evaluation.failures import explain
from gemma4ctl.evaluation.process import Finished
from tests.evaluation.conftest import CAPTURED

VERSIONS = {"sgl-eval": "0.1.3", "run_eval": "0.5.16", "few_shot": "0.5.16"}


def why(harness, task, *lines: str, status: int | None = 1, stopped: str | None = None):
    evaluator = Evaluator(harness, "/opt/venv/bin/python", VERSIONS[harness])
    return explain(task, evaluator, Finished(status, lines, 1.0, stopped=stopped))


def recorded(name: str) -> tuple[str, ...]:
    return tuple((CAPTURED / name).read_text().splitlines())


@pytest.mark.parametrize(
    ("harness", "task", "name", "remedy"),
    [
        ("sgl-eval", "gsm8k", "sgl_eval_offline.txt", '"expected_answer": ...}'),
        ("sgl-eval", "mmlu", "sgl_eval_mmlu_offline.txt", '{"problem": ...'),
        ("run_eval", "mmlu", "run_eval_mmlu_offline.txt", "--harness sgl-eval"),
        ("run_eval", "mmmu", "run_eval_mmmu_offline.txt", "HF_HOME"),
    ],
)
def test_no_network(harness, task, name: str, remedy: str) -> None:
    failure = why(harness, task, *recorded(name))
    assert failure.code == "dataset-unreachable"
    assert failure.message.startswith(f"the questions of {task} cannot be downloaded")
    assert remedy in failure.remedies[0]


def test_every_evaluator_and_task_has_a_way_without_network() -> None:
    for harness, tasks in OFFERED.items():
        for task in tasks:
            assert (
                len(why(harness, task, "socket.gaierror: Name or service not known").remedies) == 2
            )


def test_a_task_that_moved_to_sgl_eval() -> None:
    failure = why("run_eval", "mmlu", *recorded("run_eval_moved.txt"))
    assert failure.code == "task-moved"
    assert "--harness sgl-eval" in failure.remedies


def test_what_the_evaluator_refuses() -> None:
    failure = why("sgl-eval", "gsm8k", *recorded("sgl_eval_refused.txt"))
    assert failure.code == "evaluator-refused"
    assert "missing required field 'problem'" in failure.message


@pytest.mark.parametrize(
    ("line", "code", "remedy"),
    [
        (
            "ModuleNotFoundError: No module named 'datasets.arrow'",
            "package-missing",
            "/opt/venv/bin/python -m pip install datasets",
        ),
        (
            "sgl-eval: error: unrecognized arguments: --chat-template-kwarg",
            "evaluator-version",
            "/opt/venv/bin/python -m pip install --upgrade sgl-eval",
        ),
    ],
)
def test_what_can_be_installed(line: str, code: str, remedy: str) -> None:
    failure = why("sgl-eval", "gsm8k", "Traceback", line)
    assert (failure.code, failure.remedies) == (code, (remedy,))


def test_anything_else_shows_the_last_lines() -> None:
    failure = why("run_eval", "gsm8k", *(f"line {n}" for n in range(20)), status=-9)
    assert failure.code == "evaluator-failed"
    assert failure.message == "run_eval ended with status -9 and no score"
    assert failure.last_lines[-1] == "line 19"
    assert len(failure.last_lines) == 8


def test_one_that_was_stopped() -> None:
    failure = why("run_eval", "gsm8k", status=None, stopped="it took longer than 5 s")
    assert (failure.code, failure.message) == ("evaluator-stopped", "it took longer than 5 s")
