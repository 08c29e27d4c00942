from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl.evaluation.published import beside, harnesses, has_its_questions
from gemma4ctl.profiles.measurements import load_measurements

ROWS = load_measurements().accuracy


def stand(variant="12B", task="gsm8k", harness="sgl-eval", unlike=None, score=0.96, n=1319):
    return beside(
        ROWS,
        variant=variant,
        task=task,
        harness=harness,
        unlike=unlike,
        score=score,
        questions=n,
    )


def test_only_the_same_evaluator_is_comparable() -> None:
    first, *others = stand()
    assert (first.harness, first.score, first.questions) == ("sgl-eval", 0.96, 1319)
    assert first.difference == pytest.approx(0.0)
    assert [row.why_not for row in others] == ["another evaluator"] * 2
    assert {row.harness for row in others} == {"few_shot", "run_eval"}
    assert all(row.difference is row.verdict is None for row in others)


def test_what_is_unlike_all_of_them_is_compared_with_none() -> None:
    rows = stand(unlike="other questions")
    assert [row.why_not for row in rows] == ["other questions", *["another evaluator"] * 2]
    assert all(row.verdict is None for row in rows)


def test_a_file_is_taken_for_the_questions_when_it_has_as_many(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text("{}\n" * 1319 + "\n")
    assert has_its_questions("gsm8k", file)
    assert not has_its_questions("mmlu", file)
    assert not has_its_questions("gsm8k", tmp_path / "none")


@pytest.mark.parametrize(
    ("score", "n", "verdict"),
    [
        (0.950, 1319, "agrees"),
        (0.930, 1319, "lower"),
        (0.980, 1319, "higher"),
        (0.90, 100, "lower"),
        (0.93, 100, "agrees"),  # as far off as above, of fewer questions
    ],
)
def test_chance_is_told_from_a_difference(score: float, n: int, verdict: str) -> None:
    assert stand(score=score, n=n)[0].verdict == verdict


@pytest.mark.parametrize(("score", "verdict"), [(0.86, "agrees"), (0.80, "lower")])
def test_where_the_number_of_published_questions_is_unknown(score: float, verdict: str) -> None:
    row = stand(task="mmlu", harness="run_eval", score=score, n=1000)[0]
    assert (row.score, row.questions, row.verdict) == (0.859, None, verdict)


def test_no_variant_has_nothing_beside() -> None:
    assert stand(variant=None) == ()
    assert harnesses(None, "gsm8k", ROWS) == set()


def test_which_evaluators_have_published_scores() -> None:
    assert harnesses("12B", "gsm8k", ROWS) == {"sgl-eval", "run_eval", "few_shot"}
    assert harnesses("E2B", "mmmu", ROWS) == {"run_eval"}
