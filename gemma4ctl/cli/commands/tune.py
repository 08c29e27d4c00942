"""``gemma4ctl tune``: a measured search for better settings, around the plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.help import AFTER_DASHES, Command, command_app
from gemma4ctl.cli.options import JsonOption, request_options
from gemma4ctl.errors import UsageError

if TYPE_CHECKING:
    from gemma4ctl.bench.workload import Workload
    from gemma4ctl.cli.inputs import Inputs
    from gemma4ctl.tuning.metrics import Metric
    from gemma4ctl.tuning.session import Access

BUDGET_MIN = 10.0
LONGEST_MIN = 7 * 24 * 60.0
REQUESTS_PER_USER = 3
FEWEST_REQUESTS = 8
TOKENS = 600_000  # of a measurement, where that is not less than a request for each at once

app = command_app()


@app.command("tune", cls=Command, context_settings=AFTER_DASHES)
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
            "--requests", min=1, help="Requests a measurement (default 1 to 3 for each at once)."
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="output-throughput, tpot or ttft.")
    ] = "output-throughput",
    budget: Annotated[
        float,
        typer.Option(
            "--budget", min=0.01, max=LONGEST_MIN, metavar="MINUTES", help="Time for the search."
        ),
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
    from gemma4ctl.profiles.load import default_user_file
    from gemma4ctl.tuning import userfile
    from gemma4ctl.tuning.session import Question, Session

    chosen = _metric(metric)
    load = _load(scenario, input_tokens, output_tokens, requests, flags)
    read = inputs.read(_for_load(flags, load), extra, "serve")
    question = Question(read.request, read.inventory, read.profiles, load, chosen, repeats)
    session = Session(question, _server_access(read, flags, runtime))
    own = read.settings.get("profiles")
    table = Path(own) if own else default_user_file()
    if write:
        userfile.check(table)
    with exit_on_signals():
        session.search(budget * 60, resume=resume)
    kept = None
    try:
        kept = session.keep(table) if write else None
    finally:  # the result is worth showing, whatever becomes of the table
        print_json(session.document(kept)) if json else print(session.text(kept))


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
    from gemma4ctl.bench.workload import Workload
    from gemma4ctl.settings import gather

    users = gather({"concurrency": flags["concurrency"]}).get("concurrency")
    if scenario is not None:
        found = _scenario(scenario, users if flags["concurrency"] is not None else None)
        return found if requests is None else found.model_copy(update={"requests": requests})
    concurrency = int(users or 1)
    usual = min(REQUESTS_PER_USER * concurrency, TOKENS // (input_tokens + output_tokens))
    return Workload(
        name="tune",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        range_ratio=1.0,
        requests=requests or max(FEWEST_REQUESTS, concurrency, usual),
        concurrency=concurrency,
    )


def _scenario(name: str, users: int | None) -> Workload:
    """A published scenario; ``users`` is the concurrency asked for, which must be its own."""
    from gemma4ctl.bench.workload import SCENARIOS

    if name not in SCENARIOS:
        raise UsageError(
            f"unknown scenario: {name}",
            needed=f"one of {', '.join(SCENARIOS)}",
            code="bad-value",
        )
    found = SCENARIOS[name]
    if users not in (None, found.concurrency):
        raise UsageError(
            f"{name} has {found.concurrency} requests at once",
            found=f"--concurrency {users}",
            code="conflicting-options",
        )
    return found


def _for_load(flags: dict[str, Any], load: Workload) -> dict[str, Any]:
    """``flags`` of the plan for ``load``, unless they say what to plan for."""
    named = any(flags[name] for name in ("request_tokens", "context_length", "safe"))
    lengths = {} if named else {"request_tokens": f"{load.input_tokens}+{load.output_tokens}"}
    return {**flags, "concurrency": str(load.concurrency), **lengths}


def _server_access(read: Inputs, flags: dict[str, Any], runtime: str | None) -> Access:
    """How trials are served: options and environment of ``serve``, and the API key."""
    from gemma4ctl.tuning.session import Access

    given = {"--runtime": runtime, "--api-key-file": flags["api_key_file"]}
    options = tuple(word for name, value in given.items() if value for word in (name, str(value)))
    own = read.settings.get("profiles")
    named = {"GEMMA4CTL_PROFILES": os.path.abspath(own)} if own else {}  # noqa: PTH100
    return Access(options, {**os.environ, **named}, read.api_key)
