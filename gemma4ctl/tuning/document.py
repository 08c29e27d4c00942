"""The result of a search as data: what ``tune --json`` prints and ``result.json`` holds."""

from __future__ import annotations

from typing import Final, Literal

from gemma4ctl.bench.workload import Workload
from gemma4ctl.model import Model
from gemma4ctl.tuning.study import Trial
from gemma4ctl.tuning.verdict import Verdict

KIND: Final = "gemma4ctl-tune"


class MetricDocument(Model):
    """The figure that is to become better."""

    name: str
    unit: str
    higher_is_better: bool


class DimensionDocument(Model):
    """A setting that was searched: the SGLang arguments it sets, and its values."""

    title: str
    arguments: tuple[str, ...]
    values: tuple[str, ...]


class CommandDocument(Model):
    """The plan to use, as it is started."""

    argv: tuple[str, ...]
    env: dict[str, str]


class TuneDocument(Model):
    """One search. ``profile`` is the table that was written; None: none was."""

    schema_version: Literal[1] = 1
    kind: Literal["gemma4ctl-tune"] = KIND
    gemma4ctl_version: str
    variant: str
    platform: str
    gpu_count: int
    sglang_version: str
    load: Workload
    metric: MetricDocument
    space: dict[str, DimensionDocument]
    improved: bool
    verdict: Verdict | None
    settings: dict[str, str]
    command: CommandDocument
    ended: str
    seconds: float
    folder: str
    trials: tuple[Trial, ...]
    profile: str | None = None
