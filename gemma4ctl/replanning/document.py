"""A proposal as data: what ``replan --json`` prints. None: not seen, or not known."""

from __future__ import annotations

from typing import Any, Final, Literal

from gemma4ctl.capacity.solver import Limit as HeldLimit
from gemma4ctl.model import Model
from gemma4ctl.planning.plan import PlanWarning
from gemma4ctl.replanning.limit import Name as LimitName

KIND: Final = "gemma4ctl-replan"


class ShareDocument(Model):
    """Requests of ``tokens``, of which ``answer`` are answered, as a share of all."""

    tokens: int
    share: float
    answer: int | None = None


class ObservedDocument(Model):
    """An endpoint under its load, as :class:`gemma4ctl.replanning.observation.Observation`.

    ``in_flight`` requests are running or waiting. ``_s`` are seconds, or per second.
    """

    source: str
    mix: tuple[ShareDocument, ...]
    input_tokens: float
    output_tokens: float
    requests: int
    running: float | None
    waiting: float | None
    most_running: int | None
    full_usage: float | None
    sliding_usage: float | None
    full_tokens: int | None
    sliding_tokens: int | None
    retracted: int | None
    requests_s: float | None
    step_s: float | None
    prefill_s: float | None
    seconds: float | None
    arguments: dict[str, Any]
    notes: tuple[str, ...]
    in_flight: float | None
    output_tok_s: float | None


class LimitDocument(Model):
    """What binds; ``predicted``: computed, for want of usage figures."""

    name: LimitName
    text: str
    predicted: bool


class SideDocument(Model):
    """The predicted pools of a plan, in tokens, and the requests of the load that they hold."""

    full_layer_tokens: int | None
    swa_layer_tokens: int | None
    requests: int | None
    limit: HeldLimit | None


class ChangeDocument(Model):
    """An SGLang argument whose value differs; None: left to SGLang."""

    argument: str
    flag: str
    before: str | None
    after: str | None


class ThroughputDocument(Model):
    """The parts of ``formula``, fitted to what was seen. ``output_tokens`` of a mean request."""

    prefill_s: float
    weights_s: float
    request_s: float
    occupied_at: float  # running requests
    output_tokens: float


class GainDocument(Model):
    """What the change brings: requests at once, and completed ones a second."""

    running_before: float
    running_after: float
    requests_s_before: float | None
    requests_s_after: float | None
    ratio: float | None
    model: ThroughputDocument | None
    status: Literal["estimated"] = "estimated"
    formula: str
    assumed: tuple[str, ...]


class CommandDocument(Model):
    """The proposed plan, as it is started; ``shell`` is the same as text."""

    argv: tuple[str, ...]
    env: dict[str, str]
    shell: str


class ReplanDocument(Model):
    """One proposal. ``gain`` is None where the requests at once or the pools are not known."""

    schema_version: Literal[1] = 1
    kind: Literal["gemma4ctl-replan"] = KIND
    gemma4ctl_version: str
    observed: ObservedDocument
    limit: LimitDocument
    before: SideDocument
    after: SideDocument
    changes: tuple[ChangeDocument, ...]
    gain: GainDocument | None
    command: CommandDocument
    warnings: tuple[PlanWarning, ...]
