"""Why an evaluator gave no score, and what to do about it."""

from __future__ import annotations

import re
from typing import NamedTuple

from gemma4ctl.evaluation.evaluators import PACKAGE, Evaluator, Harness, Task
from gemma4ctl.evaluation.process import Finished
from gemma4ctl.evaluation.result import Failure

SHOWN_LINES = 8


class _Cause(NamedTuple):
    """``pattern`` is of a line; ``{word}`` in the texts is its group."""

    code: str
    pattern: re.Pattern[str]
    message: str
    remedies: tuple[str, ...] = ()


_CAUSES = (  # the surest first
    _Cause(
        "package-missing",
        re.compile(r"ModuleNotFoundError: No module named '(\w+)"),
        "{python} lacks the package {word}",
        ("{python} -m pip install {word}",),
    ),
    _Cause(
        "task-moved",
        re.compile(r"ValueError: (\w+ is scored by sgl-eval|Invalid eval name)"),
        "SGLang {version} no longer scores {task} itself",
        ("pip install sgl-eval", "--harness sgl-eval"),
    ),
    _Cause(
        "evaluator-version",
        re.compile(r".*error: unrecognized arguments: (.*)"),
        "{harness} {version} does not know {word}",
        ("{python} -m pip install --upgrade {package}",),
    ),
    _Cause(
        "dataset-unreachable",
        re.compile(
            r".*(Name or service not known|Temporary failure in name resolution"
            r"|Network is unreachable|Failed to load MMMU datasets|LocalEntryNotFound"
            r"|OfflineModeIsEnabled|Max retries exceeded|ProxyError|ConnectError|ConnectTimeout"
            r"|Couldn't reach|URLError)"
        ),
        "the questions of {task} cannot be downloaded: {word}",
    ),
    _Cause(
        "evaluator-refused",
        re.compile(r"(?:.*: )?error: (.*)"),
        "{harness} refuses: {word}",
    ),
)
_SGL_EVAL_FILE = '--dataset FILE with one {{"problem": ..., "expected_answer": ...}} a line'
_OFFLINE: dict[tuple[Harness, Task], tuple[str, ...]] = {
    ("sgl-eval", "gsm8k"): (_SGL_EVAL_FILE,),
    ("sgl-eval", "mmlu"): (_SGL_EVAL_FILE,),
    ("run_eval", "gsm8k"): ("--dataset FILE: test.jsonl of github.com/openai/grade-school-math",),
    ("few_shot", "gsm8k"): ("--dataset FILE: test.jsonl of github.com/openai/grade-school-math",),
    ("run_eval", "mmlu"): ("--harness sgl-eval, which takes --dataset FILE",),
    ("run_eval", "mmmu"): (
        "HF_HOME: a Hugging Face cache that holds MMMU/MMMU, and HF_HUB_OFFLINE=1",
    ),
}
_ELSEWHERE = "run it on a machine with network access: --url names the endpoint"


def explain(task: Task, evaluator: Evaluator, finished: Finished) -> Failure:
    """Why ``finished`` has no score: the surest cause that one of its last lines shows."""
    for cause in _CAUSES:
        for line in reversed(finished.lines):
            match = cause.pattern.match(line)
            if match:
                return _failure(cause, match[1], task, evaluator, finished)
    ended = f"{evaluator.harness} ended with status {finished.status} and no score"
    cause = _Cause(
        "evaluator-stopped" if finished.stopped else "evaluator-failed",
        re.compile(""),
        "{word}",
        ("--keep DIR keeps all that it prints",),
    )
    return _failure(cause, finished.stopped or ended, task, evaluator, finished)


def _failure(
    cause: _Cause, word: str, task: Task, evaluator: Evaluator, finished: Finished
) -> Failure:
    remedies = cause.remedies
    if cause.code == "dataset-unreachable":
        remedies = (*_OFFLINE[evaluator.harness, task], _ELSEWHERE)
    words = {
        "word": word,
        "task": task,
        "python": evaluator.python,
        "harness": evaluator.harness,
        "version": evaluator.version,
        "package": PACKAGE[evaluator.harness],
    }
    return Failure(
        task=task,
        harness=evaluator.harness,
        code=cause.code,
        message=cause.message.format(**words),
        remedies=tuple(remedy.format(**words) for remedy in remedies),
        last_lines=finished.lines[-SHOWN_LINES:],
    )
