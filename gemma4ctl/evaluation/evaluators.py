"""The evaluators of this machine: ``sgl-eval``, and those that SGLang's package brings.

"run_eval" is ``sglang.test.run_eval`` through the chat API, "few_shot" is
``sglang.test.few_shot_gsm8k``, which continues raw text without the chat template.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from gemma4ctl.errors import UsageError
from gemma4ctl.launch.install import interpreter_of, package_versions

Task = Literal["gsm8k", "mmlu", "mmmu"]
Harness = Literal["sgl-eval", "run_eval", "few_shot"]

TASKS: tuple[Task, ...] = get_args(Task)
# What each can score, and the package that has it. Best first: few_shot only when asked for.
OFFERED: Mapping[Harness, tuple[Task, ...]] = {
    "sgl-eval": ("gsm8k", "mmlu"),
    "run_eval": ("gsm8k", "mmlu", "mmmu"),
    "few_shot": ("gsm8k",),
}
PACKAGE: Mapping[Harness, str] = {
    "sgl-eval": "sgl-eval",
    "run_eval": "sglang",
    "few_shot": "sglang",
}


@dataclass(frozen=True)
class Evaluator:
    """An installed evaluator: the interpreter that has it, and its package's version."""

    harness: Harness
    python: str
    version: str


Found = Mapping[Harness, Evaluator]


def find(environment: Mapping[str, str], python: str | None = None) -> dict[Harness, Evaluator]:
    """The evaluators of ``python``; by default of the commands on ``PATH`` and this interpreter."""
    found: dict[Harness, Evaluator] = {}
    for candidate in [python] if python else dict.fromkeys(_interpreters(environment)):
        versions = package_versions(candidate, set(PACKAGE.values()), environment)
        for harness, package in PACKAGE.items():
            if package in versions:
                found.setdefault(harness, Evaluator(harness, candidate, versions[package]))
    return found


def _interpreters(environment: Mapping[str, str]) -> Iterator[str]:
    for command in ("sgl-eval", "sglang"):
        script = shutil.which(command, path=environment.get("PATH", ""))
        python = interpreter_of(Path(script), environment) if script else None
        if python:
            yield python
    yield sys.executable


def choose(
    task: Task, asked: Harness | None, found: Found, published: frozenset[Harness]
) -> Evaluator:
    """The evaluator to score ``task`` with.

    ``asked``, else an installed one that a score of this variant was ``published`` for, else any.

    Raises:
        UsageError: ``asked`` does not have the task, or none that has it is installed.
    """
    able = [harness for harness, tasks in OFFERED.items() if task in tasks]
    if asked is not None and asked not in able:
        raise UsageError(
            f"{asked} does not score {task}",
            needed=f"--harness {' or '.join(able)}",
            code="harness-without-task",
        )
    wanted: list[Harness] = [asked] if asked else [name for name in able if name != "few_shot"]
    here = [harness for harness in wanted if harness in found]
    if not here:
        raise _missing(task, wanted)
    return found[next((harness for harness in here if harness in published), here[0])]


def _missing(task: Task, wanted: list[Harness]) -> UsageError:
    packages = dict.fromkeys(PACKAGE[harness] for harness in wanted)
    return UsageError(
        f"no evaluator for {task} is installed",
        needed=" or ".join(f"{harness} (package {PACKAGE[harness]})" for harness in wanted),
        remedies=[
            *(f"pip install {package}" for package in packages),
            "--python PATH: the interpreter of the environment that has one",
        ],
        code="evaluator-missing",
    )
