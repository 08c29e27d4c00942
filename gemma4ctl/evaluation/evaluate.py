"""Score an endpoint in one task after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from gemma4ctl import __version__
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.evaluation import outputs, published
from gemma4ctl.evaluation.commands import Settings, check, child_environment, command
from gemma4ctl.evaluation.evaluators import Evaluator, Found, Harness, Task, choose
from gemma4ctl.evaluation.failures import explain
from gemma4ctl.evaluation.intervals import wilson
from gemma4ctl.evaluation.process import Finished, Progress, run
from gemma4ctl.evaluation.result import EvalResult, Failure, Score
from gemma4ctl.profiles.measurements import Accuracy, load_measurements

NOTABLE = 0.01  # share of answers from which on it is worth a word

OnProgress = Callable[[Task, Progress], None]


class Subject(NamedTuple):
    """What is scored: an endpoint, the name that requests give, and what is known of it."""

    endpoint: Endpoint
    model: str
    variant: str | None
    facts: Facts


def choose_all(
    tasks: Sequence[Task], asked: Harness | None, found: Found, subject: Subject, settings: Settings
) -> dict[Task, Evaluator]:
    """The evaluator of each task; all are checked before the first question is asked.

    Raises:
        UsageError: one is missing, or cannot do what ``settings`` ask.
    """
    rows = load_measurements().accuracy
    chosen = {}
    for task in tasks:
        known = frozenset(published.harnesses(subject.variant, task, rows))
        evaluator = choose(task, asked, found, known)
        check(evaluator, task, settings, subject.endpoint)
        chosen[task] = evaluator
    return chosen


def evaluate(
    subject: Subject,
    chosen: Mapping[Task, Evaluator],
    settings: Settings,
    folder: Path,
    *,
    on_progress: OnProgress = lambda *_: None,
    environment: Mapping[str, str] = os.environ,
) -> EvalResult:
    """Score ``subject`` in each task with its evaluator, which writes into ``folder``/task."""
    rows = load_measurements().accuracy
    scores, failures = [], []
    for task, evaluator in chosen.items():
        place = folder / task
        place.mkdir(parents=True, exist_ok=True)
        argv = command(
            evaluator, task, settings, subject.endpoint, model=subject.model, folder=place
        )
        finished = _run(argv, subject.endpoint, settings, place, task, on_progress, environment)
        reading = outputs.read(evaluator.harness, task, finished, place)
        if finished.status != 0 or reading is None:
            failures.append(explain(task, evaluator, finished))
            continue
        scores.append(_score(subject, task, evaluator, settings, argv, reading, rows))
    return _result(subject, settings, scores, failures)


def _run(
    argv: list[str],
    endpoint: Endpoint,
    settings: Settings,
    place: Path,
    task: Task,
    on_progress: OnProgress,
    environment: Mapping[str, str],
) -> Finished:
    try:
        return run(
            argv,
            child_environment(endpoint, environment),
            place,
            timeout_s=settings.timeout_s,
            on_progress=lambda progress: on_progress(task, progress),
        )
    except OSError as error:
        return Finished(None, (), 0.0, stopped=f"{argv[0]} cannot be run: {error.strerror}")


def _score(
    subject: Subject,
    task: Task,
    evaluator: Evaluator,
    settings: Settings,
    argv: Sequence[str],
    reading: outputs.Reading,
    rows: tuple[Accuracy, ...],
) -> Score:
    bounds = wilson(reading.score * reading.questions, reading.questions)
    return Score(
        task=task,
        harness=evaluator.harness,
        harness_version=evaluator.version,
        score=reading.score,
        low=bounds.low,
        high=bounds.high,
        questions=reading.questions,
        seconds=reading.seconds,
        output_tok_s=reading.output_tok_s,
        no_answer=reading.no_answer,
        truncated=reading.truncated,
        failed=reading.failed,
        command=tuple(argv),
        caveats=tuple(_caveats(subject, task, evaluator.harness, settings, reading)),
        published=published.beside(
            rows,
            variant=subject.variant,
            task=task,
            harness=evaluator.harness,
            unlike=_unlike(task, settings),
            score=reading.score,
            questions=reading.questions,
        ),
    )


def _unlike(task: Task, settings: Settings) -> str | None:
    """What makes a score unlike all published ones."""
    if settings.thinking:
        return "without thinking"
    if settings.dataset is not None and not published.has_its_questions(task, settings.dataset):
        return "other questions"
    return None


def _caveats(
    subject: Subject, task: Task, harness: Harness, settings: Settings, reading: outputs.Reading
) -> Iterator[str]:
    """What this score does not say."""
    if subject.facts.random_weights:
        yield "the server runs random weights: this is the score of guessing"
    if reading.failed:
        yield f"{reading.failed:.1%} of the requests failed and count as wrong"
    if reading.truncated and reading.truncated >= NOTABLE:
        yield f"{reading.truncated:.1%} of the answers were cut off: raise --max-tokens"
    if reading.no_answer and reading.no_answer >= NOTABLE:
        yield f"no answer could be read from {reading.no_answer:.1%} of the texts"
    if harness == "few_shot":
        yield (
            "raw text without the chat template shows less than the model can do: "
            "12B is published with 0.431 this way and 0.950 with the template"
        )
    if task == "mmmu":
        yield "each question is asked with its first image only"
    if settings.thinking:
        yield "with thinking; the published scores are without"
    if settings.dataset is not None:
        yield f"the questions are those of {settings.dataset.name}"


def _result(
    subject: Subject, settings: Settings, scores: Sequence[Score], failures: Sequence[Failure]
) -> EvalResult:
    return EvalResult(
        gemma4ctl_version=__version__,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        url=subject.endpoint.url,
        model=subject.model,
        variant=subject.variant,
        release=subject.facts.release,
        thinking=settings.thinking,
        limit=settings.limit,
        dataset=str(settings.dataset) if settings.dataset else None,
        scores=tuple(scores),
        failures=tuple(failures),
    )
