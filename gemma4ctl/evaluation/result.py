"""The result of ``gemma4ctl eval`` as data."""

from __future__ import annotations

from typing import Final, Literal

from gemma4ctl.evaluation.evaluators import Harness, Task
from gemma4ctl.model import Model

KIND: Final = "gemma4ctl-eval"
Verdict = Literal["agrees", "higher", "lower"]


class Beside(Model):
    """A published score of the same variant and task.

    ``why_not`` says why it cannot be compared; otherwise ``difference`` is ours minus it, and
    ``verdict`` whether chance explains that.
    """

    score: float
    harness: Harness | None
    platform: str
    questions: int | None
    source: str
    why_not: str | None = None
    difference: float | None = None
    verdict: Verdict | None = None


class Score(Model):
    """A share of right answers, with the bounds of its 95% interval (``low``, ``high``).

    ``questions`` is how many were asked. ``no_answer``, ``truncated`` and ``failed`` are shares of
    them, None where the evaluator does not tell. ``caveats`` are sentences about what the score
    does not say.
    """

    task: Task
    harness: Harness
    harness_version: str
    score: float
    low: float
    high: float
    questions: int
    seconds: float
    output_tok_s: float | None = None
    no_answer: float | None = None
    truncated: float | None = None
    failed: float | None = None
    command: tuple[str, ...]
    caveats: tuple[str, ...] = ()
    published: tuple[Beside, ...] = ()


class Failure(Model):
    """A task without a score: why, what to do, and the evaluator's last words."""

    task: Task
    harness: Harness
    code: str
    message: str
    remedies: tuple[str, ...] = ()
    last_lines: tuple[str, ...] = ()


class EvalResult(Model):
    """One invocation of ``gemma4ctl eval``."""

    kind: Literal["gemma4ctl-eval"] = KIND
    schema_version: Literal[1] = 1
    gemma4ctl_version: str
    date: str  # UTC, ISO 8601
    url: str
    model: str
    variant: str | None
    release: str | None  # of SGLang
    thinking: bool
    limit: int | None
    dataset: str | None
    scores: tuple[Score, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def below_published(self) -> tuple[Score, ...]:
        """The scores that lie below a comparable published one by more than chance."""
        return tuple(s for s in self.scores if any(row.verdict == "lower" for row in s.published))
