"""What the evaluators say when they have finished.

``sgl-eval`` writes ``metrics.json``. SGLang's own print their figures; the number of questions is
only in their progress bar. They count a request that failed as a wrong answer and print a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma4ctl.evaluation.evaluators import Harness, Task
from gemma4ctl.evaluation.process import Finished

_FAILED_REQUEST = re.compile(r"Bad Request Error|All retry attempts exhausted")


@dataclass(frozen=True)
class Reading:
    """What an evaluator found. Shares are of ``questions``; None: it does not tell.

    ``no_answer``: no answer could be read from the text. ``truncated``: it ended at the limit of
    tokens. ``failed``: the request failed.
    """

    score: float
    questions: int
    seconds: float
    output_tok_s: float | None = None
    no_answer: float | None = None
    truncated: float | None = None
    failed: float | None = None


def read(harness: Harness, task: Task, finished: Finished, folder: Path) -> Reading | None:
    """The result of an evaluator that ran in ``folder``; None where there is none."""
    if harness == "sgl-eval":
        return _sgl_eval(task, folder)
    if harness == "run_eval":
        return _run_eval(task, finished)
    return _few_shot(finished)


def _sgl_eval(task: Task, folder: Path) -> Reading | None:
    try:
        (path,) = folder.glob(f"sgl_eval_{task}_*/metrics.json")
        found = json.loads(path.read_text(encoding="utf-8"))
        rates = found["aggregate"]
        return Reading(
            score=float(rates["score"]),
            questions=int(found["num_examples"]),
            seconds=float(found["latency_seconds"]),
            output_tok_s=_number(found, "output_throughput_tps"),
            no_answer=_number(rates, "no_answer"),
            truncated=_number(rates, "truncated_rate"),
            failed=_number(rates, "error_rate"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _run_eval(task: Task, finished: Finished) -> Reading | None:
    lines = finished.lines
    exact = _after(lines, rf"\[METRIC\] {task}_score=")
    score = exact if exact is not None else _after(lines, "Score: ")
    questions = finished.progress.total if finished.progress else 0
    if score is None or not questions:
        return None
    failed = sum(bool(_FAILED_REQUEST.match(line)) for line in lines)
    seconds = _after(lines, "Total latency: ")
    return Reading(
        score=score,
        questions=questions,
        seconds=finished.seconds if seconds is None else seconds,
        output_tok_s=_after(lines, "Output throughput: "),
        failed=min(failed / questions, 1.0),
    )


def _few_shot(finished: Finished) -> Reading | None:
    lines = finished.lines
    score = _after(lines, "Accuracy: ")
    questions = finished.progress.total if finished.progress else 0
    if score is None or not questions:
        return None
    seconds = _after(lines, "Latency: ")
    return Reading(
        score=score,
        questions=questions,
        seconds=finished.seconds if seconds is None else seconds,
        output_tok_s=_after(lines, "Output throughput: "),
        no_answer=_after(lines, "Invalid: "),
    )


def _after(lines: Sequence[str], label: str) -> float | None:
    """The number after ``label`` (a pattern) at the start of the last such line."""
    found = [match for line in lines if (match := re.match(rf"{label}([\d.eE+-]+)", line))]
    try:
        return float(found[-1][1]) if found else None
    except ValueError:
        return None


def _number(found: Mapping[str, Any], name: str) -> float | None:
    value = found.get(name)
    return float(value) if isinstance(value, (int, float)) else None
