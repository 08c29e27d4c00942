"""The results of ``gemma4ctl bench`` as data: figures, and all that they were measured on."""

from __future__ import annotations

from typing import Final, Literal

from gemma4ctl.bench.summary import Spread, Summary
from gemma4ctl.bench.workload import Workload
from gemma4ctl.model import Model

KIND: Final = "gemma4ctl-bench"
Client = Literal["builtin", "sglang"]


class Run(Model):
    """One run of a scenario. ``interrupted``: it was stopped, so its figures are of a part."""

    started: str  # UTC, ISO 8601
    summary: Summary
    interrupted: bool = False


class Scenario(Model):
    """A workload, its repeated runs, and how far they differ.

    ``command`` is what another client was run with; ``notes`` say what differs from the published
    procedure. ``spread`` is by figure, as :meth:`Summary.figures` names them, of whole runs only.
    """

    workload: Workload
    client: Client
    api: str  # "generate", "completions" or "chat"
    command: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    spread: dict[str, Spread] = {}

    @property
    def whole(self) -> tuple[Run, ...]:
        """The runs that were not interrupted."""
        return tuple(run for run in self.runs if not run.interrupted)


class Served(Model):
    """What the endpoint serves, as far as it tells."""

    model: str  # the name that requests give
    model_path: str | None = None
    variant: str | None = None
    tp: int | None = None
    mtp: bool | None = None
    release: str | None = None  # of SGLang
    server_args: dict[str, object] = {}


class Hardware(Model):
    """What it ran on. ``source``: "plan", or how this machine's own GPUs were found."""

    platform: str
    gpu_count: int
    gpus: tuple[str, ...] = ()
    driver_version: str | None = None
    source: str


class Planned(Model):
    """The plan that the server was started with."""

    plan_hash: str
    checkpoint: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}


class BenchResult(Model):
    """One invocation of ``gemma4ctl bench``."""

    kind: Literal["gemma4ctl-bench"] = KIND
    schema_version: Literal[1] = 1
    gemma4ctl_version: str
    date: str  # UTC, ISO 8601
    command: tuple[str, ...]
    url: str
    served: Served
    hardware: Hardware | None = None
    plan: Planned | None = None
    complete: bool = False  # every scenario was run as often as asked
    scenarios: tuple[Scenario, ...] = ()
    problems: tuple[str, ...] = ()  # what could not be found out

    def scenario(self, name: str) -> Scenario | None:
        """The scenario called ``name``."""
        return next((s for s in self.scenarios if s.workload.name == name), None)
