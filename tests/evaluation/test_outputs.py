from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemma4ctl.evaluation.outputs import Reading, read
from gemma4ctl.evaluation.process import Finished, Progress
from tests.evaluation.conftest import CAPTURED


def finished(name: str, *more: str, total: int = 40) -> Finished:
    text = (CAPTURED / name).read_text()
    lines = tuple(line for line in text.splitlines() if line and "%|" not in line)
    return Finished(0, lines + more, 9.0, Progress(total, total))


def test_sgl_eval(tmp_path: Path) -> None:
    folder = tmp_path / "sgl_eval_gsm8k_20261122-055103"
    folder.mkdir()
    (folder / "metrics.json").write_bytes((CAPTURED / "metrics.json").read_bytes())
    recorded = json.loads((CAPTURED / "metrics.json").read_text())
    assert read("sgl-eval", "gsm8k", finished("sgl_eval.txt"), tmp_path) == Reading(
        score=0.75,
        questions=40,
        seconds=recorded["latency_seconds"],
        output_tok_s=recorded["output_throughput_tps"],
        truncated=0.0,
        failed=0.0,
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"aggregate": {"score": null}}'])
def test_sgl_eval_without_a_score(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "sgl_eval_gsm8k_1"
    folder.mkdir()
    (folder / "metrics.json").write_text(text)
    assert read("sgl-eval", "gsm8k", finished("sgl_eval.txt"), tmp_path) is None


def test_sgl_eval_without_metrics(tmp_path: Path) -> None:
    assert read("sgl-eval", "gsm8k", finished("sgl_eval.txt"), tmp_path) is None


def test_run_eval(tmp_path: Path) -> None:
    found = read("run_eval", "gsm8k", finished("run_eval.txt"), tmp_path)
    assert found == Reading(0.75, 40, 0.686, output_tok_s=1166.027, failed=0.0)


def test_run_eval_gives_the_score_in_full(tmp_path: Path) -> None:
    metric = "[METRIC] gsm8k_score=0.7333333333333333 labels={}"
    found = read("run_eval", "gsm8k", finished("run_eval.txt", metric), tmp_path)
    assert found and found.score == 0.7333333333333333


def test_run_eval_counts_failed_requests(tmp_path: Path) -> None:
    # Constructed from the lines that simple_eval_common.py of SGLang 0.5.16 prints.
    failed = (
        "Rate limit exception so wait and retry 0 after 1 sec Connection error.",
        "All retry attempts exhausted for request. Returning empty response.",
        "Bad Request Error Error code: 400",
    )
    found = read("run_eval", "gsm8k", finished("run_eval.txt", *failed), tmp_path)
    assert found and found.failed == 2 / 40


def test_few_shot(tmp_path: Path) -> None:
    found = read("few_shot", "gsm8k", finished("few_shot.txt", total=45), tmp_path)
    assert found and (found.questions, found.no_answer) == (45, 0.0)
    assert 0.7 < found.score < 0.8


@pytest.mark.parametrize("harness", ["run_eval", "few_shot"])
def test_without_a_score_or_questions(harness, tmp_path: Path) -> None:
    assert read(harness, "gsm8k", Finished(0, ("nothing",), 1.0, Progress(1, 1)), tmp_path) is None
    whole = finished(f"{harness}.txt")
    assert read(harness, "gsm8k", Finished(0, whole.lines, 1.0), tmp_path) is None


def test_a_figure_that_is_no_number_is_none(tmp_path: Path) -> None:
    lines = ("Accuracy: 1.2.3",)
    assert read("few_shot", "gsm8k", Finished(0, lines, 1.0, Progress(1, 1)), tmp_path) is None
