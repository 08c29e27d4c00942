"""What a verification found: one result a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["pass", "fail", "skip"]


@dataclass(frozen=True)
class Result:
    """The result of one check.

    ``detail`` says what was seen, what is wrong, or why it was skipped. ``fault`` is a code of
    :data:`~gemma4ctl.verify.faults.FAULTS`. ``unjudged`` are the parts of the answer that random
    weights leave open. ``curl`` repeats the request that failed.
    """

    check: str
    title: str
    status: Status
    detail: str
    seconds: float
    fault: str | None = None
    unjudged: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    curl: str | None = None


@dataclass(frozen=True)
class Report:
    """A verification of the endpoint at ``url``. ``date`` is UTC, as in ISO 8601."""

    url: str
    date: str
    model: str
    variant: str | None
    release: str | None
    random_weights: bool
    results: tuple[Result, ...]
    seconds: float

    def count(self, status: Status) -> int:
        """How many checks ended with ``status``."""
        return sum(result.status == status for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.count("fail")

    @property
    def summary(self) -> str:
        """The counts in words."""
        counts = f"{self.count('pass')} passed, {self.count('fail')} failed"
        return f"{counts}, {self.count('skip')} skipped, in {self.seconds:.1f} s"
