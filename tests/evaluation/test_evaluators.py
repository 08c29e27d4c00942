from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.evaluation.evaluators import Evaluator, choose, find
from tests.evaluation.conftest import Standins

SGL = Evaluator("sgl-eval", "python", "0.1.3")
RUN = Evaluator("run_eval", "python", "0.5.16")
RAW = Evaluator("few_shot", "python", "0.5.16")
ALL = {"sgl-eval": SGL, "run_eval": RUN, "few_shot": RAW}


def test_the_packages_of_an_interpreter_are_found(standins: Standins) -> None:
    found = find(standins.environment, sys.executable)
    assert {name: each.version for name, each in found.items()} == {
        "sgl-eval": "0.1.3",
        "run_eval": "0.5.16",
        "few_shot": "0.5.16",
    }


def test_commands_on_the_path_lead_to_their_interpreter(standins: Standins, tmp_path: Path) -> None:
    other = tmp_path / "python-of-sgl-eval"
    other.symlink_to(sys.executable)
    script = tmp_path / "sgl-eval"
    script.write_text(f"#!{other}\n")
    script.chmod(0o755)
    environment = standins.environment | {"PATH": str(tmp_path)}
    assert find(environment)["sgl-eval"].python == str(other)


def test_an_interpreter_that_is_none_has_nothing() -> None:
    assert find({}, "/nonexistent/python") == {}


@pytest.mark.parametrize(
    ("task", "asked", "found", "published", "chosen"),
    [
        ("gsm8k", None, ALL, set(), SGL),
        ("gsm8k", None, ALL, {"run_eval"}, RUN),
        ("gsm8k", None, ALL, {"few_shot"}, SGL),
        ("gsm8k", None, {"run_eval": RUN}, {"sgl-eval"}, RUN),
        ("gsm8k", "few_shot", ALL, {"run_eval"}, RAW),
        ("mmmu", None, ALL, set(), RUN),
    ],
)
def test_choice(task, asked, found, published, chosen) -> None:
    assert choose(task, asked, found, frozenset(published)) is chosen


def test_few_shot_is_not_chosen_unasked() -> None:
    with pytest.raises(UsageError) as caught:
        choose("gsm8k", None, {"few_shot": RAW}, frozenset({"few_shot"}))
    assert caught.value.code == "evaluator-missing"
    assert "pip install sgl-eval" in str(caught.value)
    assert "--python PATH" in str(caught.value)


def test_an_evaluator_without_the_task_is_refused() -> None:
    with pytest.raises(UsageError, match="sgl-eval does not score mmmu") as caught:
        choose("mmmu", "sgl-eval", ALL, frozenset())
    assert "--harness run_eval" in str(caught.value)
