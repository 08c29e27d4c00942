"""``gemma4ctl eval``: score a running endpoint, beside the published scores."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from gemma4ctl.cli.help import Command, command_app
from gemma4ctl.cli.options import ApiKeyFileOption, ForceOption, JsonOption, UrlOption

if TYPE_CHECKING:
    from gemma4ctl.endpoint.address import Endpoint
    from gemma4ctl.evaluation.commands import Settings
    from gemma4ctl.evaluation.evaluate import Subject
    from gemma4ctl.evaluation.evaluators import Task
    from gemma4ctl.evaluation.process import Progress
    from gemma4ctl.evaluation.result import EvalResult, Failure, Score

FOUND = 4  # exit status: a task has no score, or with --gate a score is too low
THREADS = 64
SECONDS_BETWEEN = 10.0  # lines about progress, where they cannot replace each other

app = command_app()


class Harness(str, Enum):
    """The evaluators."""

    auto = "auto"
    sgl_eval = "sgl-eval"
    run_eval = "run_eval"
    few_shot = "few_shot"


class TaskName(str, Enum):
    """What can be scored."""

    gsm8k = "gsm8k"
    mmlu = "mmlu"
    mmmu = "mmmu"


@app.command("eval", cls=Command)
def evaluate(
    tasks: Annotated[
        list[TaskName] | None,
        typer.Argument(help="What to score, one or several (default: gsm8k and mmlu)."),
    ] = None,
    url: UrlOption = None,
    api_key_file: ApiKeyFileOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="The variant, where the endpoint does not tell."
        ),
    ] = None,
    harness: Annotated[Harness, typer.Option("--harness", help="The evaluator.")] = Harness.auto,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Ask so many questions only.")
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", min=1, help="Requests at the same time.")
    ] = THREADS,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", metavar="N", min=1, help="Longest answer."),
    ] = None,
    thinking: Annotated[
        bool, typer.Option("--thinking/--no-thinking", help="Let the model think first.")
    ] = False,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", metavar="FILE", help="The questions, where no network is."),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="PATH", help="The interpreter that has the evaluator."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", min=1, help="Longest time for one task."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Keep what the evaluators write in DIR."),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option("--gate", help="Exit with 4 when a score is below the published one."),
    ] = False,
    json: JsonOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the JSON to this file too."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Score a running endpoint in GSM8K, MMLU or MMMU.

    sgl-eval or SGLang's own evaluators ask the questions; the result stands beside the published
    scores of the same variant, with 95% intervals. Exit status 4: a task has no score.

    Example: gemma4ctl eval gsm8k --limit 200
    """
    import os

    from gemma4ctl.cli.show import print_json
    from gemma4ctl.endpoint.address import endpoint
    from gemma4ctl.evaluation.commands import Settings
    from gemma4ctl.evaluation.evaluate import choose_all
    from gemma4ctl.evaluation.evaluate import evaluate as run_all
    from gemma4ctl.evaluation.evaluators import Harness as HarnessWord
    from gemma4ctl.evaluation.evaluators import find
    from gemma4ctl.launch.signals import exit_on_signals

    wanted = cast("list[Task]", [t.value for t in tasks or (TaskName.gsm8k, TaskName.mmlu)])
    settings = Settings(
        threads=threads,
        limit=limit,
        max_tokens=max_tokens,
        thinking=thinking,
        dataset=_dataset(dataset, wanted),
        timeout_s=timeout,
    )
    _check_outputs(output, keep, force=force)
    subject = _subject(endpoint(url, api_key_file), model)
    asked = None if harness is Harness.auto else cast(HarnessWord, harness.value)
    chosen = choose_all(wanted, asked, find(os.environ, python), subject, settings)
    _say_plan(subject, chosen, settings)
    with exit_on_signals(), _folder(keep) as folder:
        result = run_all(subject, chosen, settings, folder, on_progress=_Shown())
    if json:
        print_json(result.model_dump(mode="json"))
    else:
        _print(result)
    if output is not None:
        _write(result, output, force=force)
    low = gate and bool(result.below_published)
    raise typer.Exit(FOUND if result.failures or low else 0)


def _check_outputs(output: Path | None, keep: Path | None, *, force: bool) -> None:
    """Refuse what cannot be written before the first question is asked; makes ``keep``."""
    from gemma4ctl import folders
    from gemma4ctl.evaluation.result import KIND
    from gemma4ctl.rendering.files import check_new

    if output is not None:
        check_new(output, marker=KIND, force=force)
    if keep is not None:
        folders.make(keep)


def _dataset(file: Path | None, tasks: list[Task]) -> Path | None:
    """The absolute path of ``file``, which is for one task."""
    from gemma4ctl.errors import UsageError

    if file is None:
        return None
    if len(tasks) != 1:
        raise UsageError(
            "--dataset is for one task",
            found=" and ".join(tasks),
            remedies=[f"gemma4ctl eval {tasks[0]} --dataset {file}"],
            code="dataset-for-several",
        )
    if not file.is_file():
        raise UsageError(f"there is no file {file}", code="dataset-missing")
    return file.resolve()


def _subject(where: Endpoint, named: str | None) -> Subject:
    """What the endpoint serves."""
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.endpoint.facts import read_facts
    from gemma4ctl.endpoint.presence import require_model
    from gemma4ctl.evaluation.evaluate import Subject
    from gemma4ctl.profiles import load, lookup

    facts = read_facts(where)
    model = require_model(where, facts)
    variant = lookup.variant_name(load.load(), named) if named else facts.variant
    if variant is None:
        say(
            f"{model}: not known to be a variant of Gemma 4, so no published scores "
            "stand beside yours; --model names it"
        )
    return Subject(where, model, variant, facts)


def _say_plan(subject: Subject, chosen: dict[Any, Any], settings: Settings) -> None:
    from gemma4ctl.cli.inputs import say

    what = ", ".join(f"{task} with {e.harness} {e.version}" for task, e in chosen.items())
    how = f", the first {settings.limit:,} questions" if settings.limit else ""
    say(f"{subject.model} at {subject.endpoint.url}: {what}{how}")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """``keep``, or a folder that is removed at the end."""
    from tempfile import TemporaryDirectory

    if keep is not None:
        yield keep.resolve()
        return
    with TemporaryDirectory(prefix="gemma4ctl-eval-") as folder:
        yield Path(folder)


class _Shown:
    """Shows how far a task is, on stderr: in one line on a terminal, else now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, task: Task, progress: Progress) -> None:
        text = f"{task}: {progress.done:,} of {progress.total:,}"
        if progress.right is not None:
            text += f", {progress.right:.1%} right so far"
        done = progress.done == progress.total
        if sys.stderr.isatty():
            print(f"\r{text}\x1b[K", end="\n" if done else "", file=sys.stderr, flush=True)
        elif done or time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN
            print(text, file=sys.stderr, flush=True)


def _write(result: EvalResult, output: Path, *, force: bool) -> None:
    import json

    from gemma4ctl.evaluation.result import KIND
    from gemma4ctl.rendering.files import write_new

    text = json.dumps(result.model_dump(mode="json"), indent=2)
    write_new(output, f"{text}\n", marker=KIND, force=force)


def _print(result: EvalResult) -> None:
    """The scores and what stands beside them on stdout; failures and caveats on stderr."""
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.cli.show import console, row_tables

    sections = {}
    if result.scores:
        sections["Scores"] = [_score_row(score) for score in result.scores]
    for score in result.scores:
        if score.published:
            sections[f"\nPublished for {result.variant} in {score.task}"] = _published_rows(score)
    if sections:
        console().print(row_tables(sections))
    for score in result.scores:
        for caveat in score.caveats:
            say(f"{score.task}: {caveat}")
    for failure in result.failures:
        say(_failure_text(failure))


def _score_row(score: Score) -> dict[str, Any]:
    return {
        "task": score.task,
        "score": f"{score.score:.3f}",
        "95% interval": f"{score.low:.3f} to {score.high:.3f}",
        "questions": score.questions,
        "evaluator": score.harness,
        "seconds": f"{score.seconds:,.0f}",
        "output tok/s": f"{score.output_tok_s:,.0f}" if score.output_tok_s else None,
    }


def _published_rows(score: Score) -> list[dict[str, Any]]:
    return [
        {
            "score": f"{row.score:.3f}",
            "evaluator": row.harness,
            "platform": row.platform,
            "asked": row.questions,
            "source": row.source,
            "yours": f"{row.difference:+.3f}, {row.verdict}"
            if row.difference is not None
            else row.why_not,
        }
        for row in score.published
    ]


def _failure_text(failure: Failure) -> str:
    lines = [f"{failure.task}: {failure.message} [{failure.code}]"]
    lines += [f"  try:   {remedy}" for remedy in failure.remedies]
    if failure.code.startswith("evaluator-"):
        lines += [f"  | {line}" for line in failure.last_lines]
    return "\n".join(lines)
