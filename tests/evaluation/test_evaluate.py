"""The whole way, with stand-in evaluators that replay recorded outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.evaluation.commands import Settings
from gemma4ctl.evaluation.evaluate import choose_all, evaluate
from gemma4ctl.evaluation.evaluators import Evaluator, find
from gemma4ctl.evaluation.result import EvalResult
from tests.evaluation.conftest import Standins


@pytest.fixture
def scored(standins: Standins, subject, tmp_path: Path):
    """Scores a task with the stand-ins."""

    def score(*tasks, harness=None, settings=None, of=None) -> EvalResult:
        settings = settings or Settings(8)
        of = of or subject()
        found = find(standins.environment, standins.python)
        chosen = choose_all(tasks, harness, found, of, settings)
        folder = tmp_path / "kept"
        return evaluate(of, chosen, settings, folder, environment=standins.environment)

    return score


def test_sgl_eval(standins: Standins, scored, subject) -> None:
    standins.says("gsm8k", "sgl_eval.txt")
    standins.scores()
    result = scored("gsm8k", of=subject(key="secret-key", release="0.5.16"))
    (score,) = result.scores
    assert (score.harness, score.harness_version, score.questions) == ("sgl-eval", "0.1.3", 40)
    assert score.low < score.score == 0.75 < score.high
    assert score.published[0].verdict == "lower"
    assert result.below_published == (score,)
    assert (result.variant, result.release, result.failures) == ("12B", "0.5.16", ())
    assert standins.called["given"][-2:] == ["--api-key", "secret-key"]
    assert "secret-key" not in " ".join(standins.called["argv"])
    assert "secret-key" not in result.model_dump_json()


def test_the_result_can_be_read_again(standins: Standins, scored) -> None:
    standins.says("gsm8k", "sgl_eval.txt")
    standins.scores()
    result = scored("gsm8k")
    assert EvalResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize("harness", ["run_eval", "few_shot"])
def test_sglangs_own(harness, standins: Standins, scored) -> None:
    standins.says("gsm8k" if harness == "run_eval" else harness, f"{harness}.txt")
    (score,) = scored("gsm8k", harness=harness).scores
    assert (score.harness, score.harness_version) == (harness, "0.5.16")
    assert any("0.950 with the template" in text for text in score.caveats) is (
        harness == "few_shot"
    )


def test_the_evaluator_with_a_published_score_is_taken(standins: Standins, scored, subject) -> None:
    standins.says("mmlu", "run_eval.txt")
    result = scored("mmlu", of=subject("E2B"))
    # the recorded output is GSM8K's: the printed score is taken, its own line is not there
    assert [(s.harness, s.score) for s in result.scores] == [("run_eval", 0.75)]


def test_one_task_may_fail_and_the_next_be_scored(standins: Standins, scored) -> None:
    standins.says("gsm8k", "sgl_eval_offline.txt")
    standins.says("mmlu", "sgl_eval.txt")
    standins.scores()
    standins.environment["FAKE_STATUS"] = "0"
    result = scored("gsm8k", "mmlu")
    assert [score.task for score in result.scores] == ["gsm8k", "mmlu"]
    standins.environment["FAKE_STATUS"] = "1"
    (standins.outputs / "metrics.json").unlink()
    result = scored("gsm8k")
    assert [failure.code for failure in result.failures] == ["dataset-unreachable"]


def test_what_a_score_does_not_say(standins: Standins, scored, subject) -> None:
    standins.says("gsm8k", "sgl_eval.txt")
    standins.scores(error_rate=0.05, truncated_rate=0.2, no_answer=0.1)
    settings = Settings(8, thinking=True, dataset=Path("/q/mine.jsonl"))
    dummy = subject(server_args={"load_format": "dummy"})
    (score,) = scored("gsm8k", settings=settings, of=dummy).scores
    assert score.caveats == (
        "the server runs random weights: this is the score of guessing",
        "5.0% of the requests failed and count as wrong",
        "20.0% of the answers were cut off: raise --max-tokens",
        "no answer could be read from 10.0% of the texts",
        "with thinking; the published scores are without",
        "the questions are those of mine.jsonl",
    )


@pytest.mark.parametrize(
    ("settings", "why_not"),
    [
        (Settings(8, thinking=True), "without thinking"),
        (Settings(8, dataset=Path("/q/mine.jsonl")), "other questions"),
    ],
)
def test_what_cannot_be_compared(settings, why_not: str, standins: Standins, scored) -> None:
    standins.says("gsm8k", "sgl_eval.txt")
    standins.scores()
    (score,) = scored("gsm8k", settings=settings).scores
    assert score.published[0].why_not == why_not


def test_mmmu_is_asked_with_one_image(standins: Standins, scored) -> None:
    standins.says("mmmu", "run_eval.txt")
    (score,) = scored("mmmu").scores
    assert score.caveats == ("each question is asked with its first image only",)


def test_all_is_checked_before_anything_runs(standins: Standins, scored) -> None:
    with pytest.raises(UsageError, match="run_eval takes no file for mmmu"):
        scored("gsm8k", "mmmu", settings=Settings(8, dataset=Path("/q.jsonl")))
    assert not standins.dump.exists()


def test_an_interpreter_that_went_away(standins: Standins, subject, tmp_path: Path) -> None:
    gone = {"gsm8k": Evaluator("sgl-eval", "/nonexistent/python", "0.1.3")}
    result = evaluate(subject(), gone, Settings(1), tmp_path, environment=standins.environment)
    assert "/nonexistent/python cannot be run" in result.failures[0].message
    assert json.loads(result.model_dump_json())["scores"] == []
