"""``gemma4ctl tune``: a measured search for better settings, around the plan."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.options import JsonOption, request_options
from gemma4ctl.errors import UsageError

if TYPE_CHECKING:
    from gemma4ctl.bench.workload import Workload
    from gemma4ctl.cli.inputs import Inputs
    from gemma4ctl.tuning.judge import Judge
    from gemma4ctl.tuning.metrics import Metric
    from gemma4ctl.tuning.report import Progress
    from gemma4ctl.tuning.search import Found
    from gemma4ctl.tuning.server import How
    from gemma4ctl.tuning.space import Dimension
    from gemma4ctl.tuning.study import Study

BUDGET_MIN = 10.0
REQUESTS_PER_USER = 3
FEWEST_REQUESTS = 8


@request_options
def tune(
    ctx: typer.Context,
    flags: dict[str, Any],
    extra: tuple[str, ...],
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario", metavar="NAME", help="A load of the published figures, as bench has it."
        ),
    ] = None,
    input_tokens: Annotated[
        int, typer.Option("--input-tokens", min=1, help="Tokens of each prompt.")
    ] = 1024,
    output_tokens: Annotated[
        int, typer.Option("--output-tokens", min=2, help="Tokens of each answer.")
    ] = 256,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests", min=1, help="Requests a measurement (default 3 for each at once, >= 8)."
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="output-throughput, tpot or ttft.")
    ] = "output-throughput",
    budget: Annotated[
        float, typer.Option("--budget", min=0.01, metavar="MINUTES", help="Time for the search.")
    ] = BUDGET_MIN,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Measurements on each server.")
    ] = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search that was interrupted.")
    ] = False,
    write: Annotated[
        bool,
        typer.Option("--write/--no-write", help="Write the winner into your profile table."),
    ] = True,
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", metavar="KIND", help="auto, local or docker, as serve has it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Try settings around the plan on the real server, and keep what is measured to be better.

    Every trial starts a server, sends the load, and ends it; the first one is the plan itself. A
    winner becomes a verified row of your profile table, so that the next `suggest` uses it.

    Example: gemma4ctl tune --model E2B --concurrency 64 --budget 15
    """
    from gemma4ctl.cli import inputs
    from gemma4ctl.cli.show import print_json
    from gemma4ctl.launch.signals import exit_on_signals
    from gemma4ctl.tuning import report

    chosen = _metric(metric)
    load = _load(scenario, input_tokens, output_tokens, requests, flags)
    read = inputs.read(_for_load(flags, load), extra, "serve")
    with exit_on_signals():
        session = _Session(read, load, chosen, budget * 60, repeats)
        session.search(_serve_options(flags, runtime), _environment(read), resume=resume)
    profile = session.keep() if write and session.improved else None
    document = session.document()
    document["profile"] = str(profile) if profile else None
    if json:
        print_json(document)
        return
    print(
        report.text(
            load=load,
            metric=chosen,
            found=session.found,
            folder=session.folder,
            profile=profile,
        )
    )


class _Session:
    """One search: what it is about, then what it found."""

    def __init__(
        self, read: Inputs, load: Workload, metric: Metric, seconds: float, repeats: int
    ) -> None:
        from gemma4ctl.tuning.judge import Judge
        from gemma4ctl.tuning.report import Progress
        from gemma4ctl.tuning.space import space

        self._read, self._load, self._metric = read, load, metric
        self._seconds, self._repeats = seconds, repeats
        self._judge: Judge = Judge(read.request, read.inventory, read.profiles, load)
        _check_context(self._judge, load)
        self._situation = self._judge.situation
        self._dimensions: tuple[Dimension, ...] = space(
            self._situation, load, metric.name, self._judge.room
        )
        self._progress: Progress = Progress(metric)
        self._began = time.monotonic()

    def search(
        self, options: tuple[str, ...], environment: dict[str, str], *, resume: bool
    ) -> None:
        """Run the search and keep its result in its folder."""
        from gemma4ctl import folders
        from gemma4ctl.tuning.lock import held
        from gemma4ctl.tuning.server import How
        from gemma4ctl.tuning.study import Study, latest_folder, new_folder

        root = folders.state(os.environ) / "tune"
        port = self._judge.baseline.value("port")
        with held(root / f"port-{port}.lock", self._progress.says) as lock:
            question = self._question()
            if resume:
                self.folder = latest_folder(root, question)
            else:
                name = f"{self._judge.baseline.variant.name}-{self._metric.name}"
                self.folder = new_folder(root, name, question)
            self._progress.says(f"trials and logs: {self.folder}")
            study = Study(self.folder, self._dimensions, higher=self._metric.higher)
            how = How(options=options, environment=environment, keep_open=(lock,))
            self.found: Found = self._run(study, how)
        self._write_result()

    def _run(self, study: Study, how: How) -> Found:
        from gemma4ctl.endpoint.address import Endpoint
        from gemma4ctl.launch.spec import LaunchSpec
        from gemma4ctl.tuning.search import Search
        from gemma4ctl.tuning.trial import Bench

        plan, key = self._judge.baseline, self._read.api_key
        spec = LaunchSpec(argv=(), host=str(plan.value("host")), port=int(str(plan.value("port"))))
        bench = Bench(
            folder=self.folder,
            load=self._load,
            metric=self._metric,
            repeats=self._repeats,
            how=how,
            endpoint=Endpoint(spec.url, key.get_secret_value() if key else None),
        )
        search = Search(
            study=study,
            dimensions=self._dimensions,
            plan_of=lambda point: self._judge.plan(self._words(point)),
            runs=bench,
            metric=self._metric,
            reporter=self._progress,
            seconds=self._seconds,
        )
        return search.run()

    def _words(self, point: dict[str, str]) -> tuple[str, ...]:
        from gemma4ctl.tuning.space import words

        return words(point, self._dimensions, self._situation.flags)

    def _question(self) -> dict[str, Any]:
        """What makes two searches the same one."""
        from gemma4ctl.rendering.command import argv, environment

        plan = self._judge.baseline
        return {
            "argv": argv(plan),
            "env": environment(plan),
            "release": plan.release,
            "hardware": [plan.hardware.platform, [unit.id for unit in plan.hardware.units]],
            "load": self._load.model_dump(mode="json"),
            "metric": self._metric.name,
            "repeats": self._repeats,
            "space": {dimension.name: dimension.choices for dimension in self._dimensions},
        }

    @property
    def improved(self) -> bool:
        """Whether something beat the plan."""
        return self.found.verdict is not None and self.found.verdict.better

    def document(self) -> dict[str, Any]:
        """The result as a JSON-ready object."""
        from gemma4ctl.tuning import report

        best = self.found.best
        winner = self._judge.plan(self._words(best)) if self.improved else self._judge.baseline
        return report.document(
            baseline=self._judge.baseline,
            winner=winner,
            dimensions=self._dimensions,
            load=self._load,
            metric=self._metric,
            found=self.found,
            folder=self.folder,
            seconds=time.monotonic() - self._began,
        )

    def _write_result(self) -> None:
        import json

        text = json.dumps(self.document(), indent=2) + "\n"
        (self.folder / "result.json").write_text(text, encoding="utf-8")

    def keep(self) -> Path | None:
        """Write the winner into the user's profile table; the table's path where that was done."""
        from gemma4ctl.profiles.load import default_user_file
        from gemma4ctl.tuning import cell, userfile
        from gemma4ctl.tuning.space import settings

        profiles, verdict = self._read.profiles, self.found.verdict
        obstacle = cell.unwritable(self._judge.baseline, profiles)
        if obstacle is not None or verdict is None:
            self._progress.says(f"the winner is not written: {obstacle}")
            return None
        winner = cell.Winner(
            plan=self._judge.baseline,
            settings=settings(self.found.best, self._dimensions),
            load=self._load,
            metric=self._metric,
            verdict=verdict,
            results=self.folder / "result.json",
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        own = self._read.settings.get("profiles")
        path = Path(own) if own else default_user_file()
        row, key = cell.cell(winner, profiles), cell.source_name(winner)
        backup = userfile.add(path, row, key, cell.source(winner))
        if backup is not None:
            self._progress.says(f"the table before is kept as {backup}")
        return path


def _metric(name: str) -> Metric:
    from gemma4ctl.tuning.metrics import METRICS

    if name not in METRICS:
        raise UsageError(
            f"unknown metric: {name}", needed=f"one of {', '.join(METRICS)}", code="bad-value"
        )
    return METRICS[name]


def _load(
    scenario: str | None,
    input_tokens: int,
    output_tokens: int,
    requests: int | None,
    flags: dict[str, Any],
) -> Workload:
    """The load: a published scenario, or one of fixed lengths at the concurrency asked for."""
    from gemma4ctl.bench.workload import SCENARIOS, Workload
    from gemma4ctl.settings import gather

    if scenario is not None and scenario not in SCENARIOS:
        raise UsageError(
            f"unknown scenario: {scenario}",
            needed=f"one of {', '.join(SCENARIOS)}",
            code="bad-value",
        )
    users = gather({"concurrency": flags["concurrency"]}).get("concurrency")
    if scenario is not None:
        found = SCENARIOS[scenario]
        if flags["concurrency"] is not None and users != found.concurrency:
            raise UsageError(
                f"{scenario} has {found.concurrency} requests at once",
                found=f"--concurrency {users}",
                code="conflicting-options",
            )
        return found if requests is None else found.model_copy(update={"requests": requests})
    concurrency = int(users or 1)
    return Workload(
        name="tune",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        range_ratio=1.0,
        requests=requests or max(FEWEST_REQUESTS, REQUESTS_PER_USER * concurrency),
        concurrency=concurrency,
    )


def _for_load(flags: dict[str, Any], load: Workload) -> dict[str, Any]:
    """``flags`` of the plan for ``load``, unless they say what to plan for."""
    named = any(flags[name] for name in ("request_tokens", "context_length", "safe"))
    lengths = {} if named else {"request_tokens": str(load.input_tokens + load.output_tokens)}
    return {**flags, "concurrency": str(load.concurrency), **lengths}


def _check_context(judge: Judge, load: Workload) -> None:
    """Refuse a load whose requests the planned context does not allow."""
    length = load.input_tokens + load.output_tokens
    context = judge.situation.context
    if length > context:
        raise UsageError(
            f"a request of {length:,} tokens does not fit in the context",
            needed=f"--context-length {length} or more, or shorter prompts and answers",
            found=f"a context of {context:,} tokens",
            code="context-too-short",
        )


def _serve_options(flags: dict[str, Any], runtime: str | None) -> tuple[str, ...]:
    """What ``serve`` is given beside the plan of a trial."""
    given = {"--runtime": runtime, "--api-key-file": flags["api_key_file"]}
    return tuple(word for name, value in given.items() if value for word in (name, str(value)))


def _environment(read: Inputs) -> dict[str, str]:
    """The environment of ``serve``: this one, with the profile table that the plan was made by."""
    own = read.settings.get("profiles")
    named = {"GEMMA4CTL_PROFILES": os.path.abspath(own)} if own else {}  # noqa: PTH100
    return {**os.environ, **named}
