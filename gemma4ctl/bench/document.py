"""The results of ``gemma4ctl bench`` as data: figures, and all that they were measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.summary import Spread, Summary
from gemma4ctl.bench.workload import Workload
from gemma4ctl.errors import UsageError
from gemma4ctl.model import Model, faults
from gemma4ctl.rendering.files import write_new

KIND: Final = "gemma4ctl-bench"
DECIMALS = 4  # of figures in the file: milliseconds and rates need no more
MARKER = f'"kind": "{KIND}"'  # near the start of a file of results
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
    api: Api
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
    server_args: dict[str, Any] = {}  # those that decide its speed


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


def content(result: BenchResult) -> dict[str, Any]:
    """``result`` as a JSON-ready object, figures rounded."""
    rounded: dict[str, Any] = _rounded(result.model_dump(mode="json"))
    return rounded


def write(result: BenchResult, path: Path, *, force: bool = False) -> None:
    """Write ``result`` to ``path`` in one step.

    Raises:
        UsageError: another kind of file is there (``force`` replaces it), or it cannot be written.
    """
    text = json.dumps(content(result), indent=2) + "\n"
    write_new(path, text, marker=MARKER, force=force)


def read(path: Path) -> BenchResult:
    """The results in ``path``.

    Raises:
        UsageError: it cannot be read, or holds no results of ``gemma4ctl bench``.
    """
    from pydantic import ValidationError

    try:
        return BenchResult.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _refused(path, "is no text in UTF-8") from None
    except ValidationError as error:
        raise _refused(path, f"holds no results: {faults(error)[0]}") from None


def _refused(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"{path} {problem}",
        needed="a file written by `gemma4ctl bench -o FILE`",
        code="bench-file",
    )


def _rounded(value: Any) -> Any:
    """``value`` with every number in it rounded to ``DECIMALS``."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
