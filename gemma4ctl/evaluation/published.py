"""Published scores beside a measured one: which can be compared, and what the difference says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gemma4ctl.evaluation.evaluators import Harness, Task
from gemma4ctl.evaluation.intervals import difference, wilson
from gemma4ctl.evaluation.result import Beside, Verdict
from gemma4ctl.profiles.measurements import Accuracy

QUESTIONS: Mapping[Task, int] = {"gsm8k": 1319, "mmlu": 14042}  # of their test sets


def harnesses(variant: str | None, task: Task, published: tuple[Accuracy, ...]) -> set[Harness]:
    """The evaluators that a score of ``variant`` in ``task`` is published for."""
    return {
        row.harness
        for row in published
        if row.harness and (row.variant, row.metric) == (variant, task)
    }


def has_its_questions(task: Task, file: Path) -> bool:
    """Whether ``file`` can hold the questions of ``task``: it has as many lines."""
    try:
        with file.open("rb") as lines:
            return sum(bool(line.strip()) for line in lines) == QUESTIONS.get(task)
    except OSError:
        return False


def beside(
    published: tuple[Accuracy, ...],
    *,
    variant: str | None,
    task: Task,
    harness: Harness,
    unlike: str | None,
    score: float,
    questions: int,
) -> tuple[Beside, ...]:
    """The published scores of ``variant`` in ``task``, the nearest first.

    ``unlike`` says what makes this score unlike all published ones, if anything does.
    """
    rows = [row for row in published if (row.variant, row.metric) == (variant, task)]
    found = [_row(row, harness, unlike, score, questions) for row in rows]
    return tuple(sorted(found, key=lambda row: (row.why_not is not None, row.harness != harness)))


def _row(
    row: Accuracy, harness: Harness, unlike: str | None, score: float, questions: int
) -> Beside:
    why_not = "another evaluator" if row.harness != harness else unlike
    verdict = None if why_not else _verdict(row, score, questions)
    return Beside(
        score=row.value,
        harness=row.harness,
        platform=row.platform,
        questions=row.questions,
        source=row.source,
        why_not=why_not,
        difference=None if why_not else score - row.value,
        verdict=verdict,
    )


def _verdict(row: Accuracy, score: float, questions: int) -> Verdict:
    """Whether chance alone explains the difference (95%).

    Where it is not known of how many questions the published score is, it is taken as exact.
    """
    if row.questions is not None:
        gap = difference(score, questions, row.value, row.questions)
        agrees = gap.holds(0.0)
    else:
        agrees = wilson(score * questions, questions).holds(row.value)
    if agrees:
        return "agrees"
    return "higher" if score > row.value else "lower"
