"""How each evaluator is called: its arguments and environment, without a shell.

The API key is handed over in ``OPENAI_API_KEY``. ``sgl-eval`` takes it as an argument only, which
every user of the machine could read, so its own entry point is called with it from inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from gemma4ctl.evaluation.evaluators import Evaluator, Task
from gemma4ctl.secrets import VARIABLE

KEY = "OPENAI_API_KEY"
NO_KEY = "EMPTY"  # what SGLang's documentation gives clients of a server without one
THINKING_TOKENS = 8192  # run_eval's own limit of 2048 cuts thoughts off
_WITH_KEY = (
    "import os, sys; from sgl_eval.cli import main; "
    f"sys.exit(main([*sys.argv[1:], '--api-key', os.environ['{KEY}']]))"
)


@dataclass(frozen=True)
class Settings:
    """What to ask and how. None: the evaluator's own default.

    ``limit`` is a number of questions, ``threads`` of requests at the same time, ``max_tokens`` of
    tokens in an answer; ``dataset`` is a file with the task's questions.
    """

    threads: int
    limit: int | None = None
    max_tokens: int | None = None
    thinking: bool = False
    dataset: Path | None = None
    timeout_s: float | None = None


def check(evaluator: Evaluator, task: Task, settings: Settings, endpoint: Endpoint) -> None:
    """Refuse settings that this evaluator has no way to follow.

    Raises:
        UsageError: there are such.
    """
    takes_file = task == "gsm8k" or evaluator.harness == "sgl-eval"
    if settings.dataset is not None and not takes_file:
        raise UsageError(
            f"{evaluator.harness} takes no file for {task}",
            needed="network access, or the evaluator's own cache of the questions",
            remedies=["gsm8k with any evaluator, mmlu with --harness sgl-eval"],
            code="dataset-not-taken",
        )
    if evaluator.harness == "few_shot":
        _check_few_shot(settings, endpoint)


def _check_few_shot(settings: Settings, endpoint: Endpoint) -> None:
    parts = urlsplit(endpoint.url)
    unable = {
        "ask with an API key": endpoint.api_key is not None,
        "think: it uses no chat template": settings.thinking,
        "ask over https or under a path": parts.scheme != "http" or parts.path != "",
    }
    for what, wanted in unable.items():
        if wanted:
            raise UsageError(
                f"the evaluator few_shot cannot {what}",
                remedies=["--harness sgl-eval", "--harness run_eval"],
                code="harness-unable",
            )


def command(
    evaluator: Evaluator,
    task: Task,
    settings: Settings,
    endpoint: Endpoint,
    *,
    model: str,
    folder: Path,
) -> list[str]:
    """The command that scores ``model`` and leaves what it writes in ``folder``."""
    if evaluator.harness == "sgl-eval":
        return _sgl_eval(evaluator, task, settings, endpoint, model, folder)
    if evaluator.harness == "run_eval":
        return _run_eval(evaluator, task, settings, endpoint, model)
    return _few_shot(evaluator, settings, endpoint)


def _sgl_eval(
    evaluator: Evaluator,
    task: Task,
    settings: Settings,
    endpoint: Endpoint,
    model: str,
    folder: Path,
) -> list[str]:
    entry = ["-c", _WITH_KEY] if endpoint.api_key else ["-m", "sgl_eval.cli"]
    # --thinking of sgl-eval sets a name that Gemma 4's chat template does not read
    thinking = f"enable_thinking={str(settings.thinking).lower()}"
    return [
        *(evaluator.python, *entry, "run", task),
        *("--base-url", endpoint.openai_url, "--model", model, "--out-dir", str(folder)),
        *("--num-threads", str(settings.threads), "--chat-template-kwarg", thinking),
        *_given("--num-examples", settings.limit),
        *_given("--max-tokens", settings.max_tokens),
        *_given("--from-dataset", settings.dataset),
    ]


def _run_eval(
    evaluator: Evaluator, task: Task, settings: Settings, endpoint: Endpoint, model: str
) -> list[str]:
    thinking = '{"enable_thinking": true}' if settings.thinking else None
    longest = settings.max_tokens or (THINKING_TOKENS if settings.thinking else None)
    return [
        *(evaluator.python, "-m", "sglang.test.run_eval", "--base-url", endpoint.url),
        *("--model", model, "--eval-name", task, "--num-threads", str(settings.threads)),
        *_given("--num-examples", settings.limit),
        *_given("--max-tokens", longest),
        *_given("--chat-template-kwargs", thinking),
        *_given("--gsm8k-data-path", settings.dataset),
    ]


def _few_shot(evaluator: Evaluator, settings: Settings, endpoint: Endpoint) -> list[str]:
    parts = urlsplit(endpoint.url)
    return [
        *(evaluator.python, "-m", "sglang.test.few_shot_gsm8k", "--host", str(parts.hostname)),
        *("--port", str(parts.port or 80), "--parallel", str(settings.threads)),
        *_given("--num-questions", settings.limit),
        *_given("--max-new-tokens", settings.max_tokens),
        *_given("--data-path", settings.dataset),
    ]


def _given(flag: str, value: object) -> list[str]:
    return [] if value is None else [flag, str(value)]


def child_environment(endpoint: Endpoint, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of an evaluator: the endpoint's key, and nobody else's."""
    mine = {name: value for name, value in environment.items() if name != VARIABLE}
    mine[KEY] = endpoint.api_key or NO_KEY
    mine |= {"PYTHONUNBUFFERED": "1", "COLUMNS": "200", "LINES": "50"}  # whole progress bars
    if endpoint.is_local:
        around = [environment.get("NO_PROXY", ""), str(urlsplit(endpoint.url).hostname)]
        mine["NO_PROXY"] = mine["no_proxy"] = ",".join(filter(None, around))
    return mine
