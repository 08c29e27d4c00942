"""``gemma4ctl replan``: from what an endpoint serves to settings that serve it better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.help import AFTER_DASHES, Command, command_app
from gemma4ctl.cli.options import JsonOption, request_options
from gemma4ctl.errors import UsageError

if TYPE_CHECKING:
    from gemma4ctl.endpoint.address import Endpoint
    from gemma4ctl.hardware.inventory import Inventory
    from gemma4ctl.replanning.observation import Observation

SECONDS = 30.0
LARGEST_METRICS = 64 << 20  # bytes

app = command_app()


@app.command("replan", cls=Command, context_settings=AFTER_DASHES)
@request_options
def replan(
    ctx: typer.Context,
    flags: dict[str, Any],
    extra: tuple[str, ...],
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="A running server (default: this machine's)."),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option("--metrics", metavar="FILE", help="Metrics saved from a server's /metrics."),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(
            "--requests",
            metavar="FILE",
            help="A log of requests: JSON Lines, SGLang's --log-requests, a bench result.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="How long to watch a running server.")
    ] = SECONDS,
    json: JsonOption = False,
) -> None:
    """Name the limit that binds under the load that is seen, and plan for that load.

    Watches a running server, or reads saved metrics or a log of requests. Without a running server
    the present settings are the published ones of the model named, with the flags after --.

    Examples: gemma4ctl replan --url http://127.0.0.1:30000
              gemma4ctl replan --model 31B --hardware H200 --requests log.jsonl --concurrency 64
    """
    from gemma4ctl.cli import inputs
    from gemma4ctl.cli.show import print_json, say_warnings
    from gemma4ctl.rendering.shell import shell
    from gemma4ctl.replanning import report
    from gemma4ctl.replanning.proposal import propose

    if sum(source is not None for source in (url, metrics, requests)) > 1:
        raise UsageError(
            "--url, --metrics and --requests exclude each other", code="conflicting-options"
        )
    at_once = _whole(flags, "concurrency")
    if requests is not None:
        seen = _from_log(requests, at_once)
    elif metrics is not None:
        seen = _from_file(metrics)
    else:
        seen, flags = _from_server(url, seconds, flags)
    read = inputs.read(flags, extra, "suggest")
    running = requests is None and metrics is None
    inventory = _as_if_idle(read.inventory) if running else read.inventory
    proposal = propose(seen, read.request, inventory, read.profiles)
    if json:
        print_json(report.document(seen, proposal).model_dump(mode="json"))
        return
    print(report.text(seen, proposal))
    print(shell(proposal.after.plan))
    say_warnings(proposal.after.plan.warnings)


def _whole(flags: dict[str, Any], name: str) -> int | None:
    from gemma4ctl.settings import gather

    value = gather({name: flags[name]}).get(name)
    return None if value is None else int(value)


def _from_log(file: Path, at_once: int | None) -> Observation:
    from gemma4ctl.replanning import requestlog

    return requestlog.observe(requestlog.read(file), str(file), at_once)


def _from_file(file: Path) -> Observation:
    """What metrics saved in a file tell."""
    from gemma4ctl.endpoint.metrics import MetricsError, parse
    from gemma4ctl.replanning import interval, live

    try:
        with file.open("rb") as opened:
            found = parse(opened.read(LARGEST_METRICS).decode())
    except (OSError, UnicodeDecodeError, MetricsError) as error:
        raise UsageError(
            f"{file} cannot be read as metrics",
            needed="what a server's /metrics answers",
            found=str(error),
            code="metrics-unreadable",
        ) from error
    return live.observe([interval.Sample(0.0, found)], str(file))


def _from_server(
    url: str | None, seconds: float, flags: dict[str, Any]
) -> tuple[Observation, dict[str, Any]]:
    """What a running server tells, and ``flags`` with the model that it serves."""
    from dataclasses import replace

    from gemma4ctl.cli.inputs import say
    from gemma4ctl.endpoint.address import endpoint
    from gemma4ctl.endpoint.facts import read_facts
    from gemma4ctl.endpoint.presence import require_answer
    from gemma4ctl.profiles.load import load
    from gemma4ctl.replanning import live

    key_file = flags["api_key_file"]
    server = endpoint(url, Path(key_file) if key_file else None)
    _check_hardware(server, flags)
    facts = read_facts(server)
    require_answer(server, facts)
    say(f"watching {server.url} for {seconds:.0f} s")
    seen = live.observe(live.watch(server, seconds), server.url)
    arguments = dict(facts.server_args or {})
    seen = replace(seen, arguments=arguments, most_running=_most_running(arguments))
    if flags["model"] is None and flags["model_path"] is None:
        flags = {**flags, **_served(facts.variant, facts.model_path)}
    if flags["sglang_version"] is None and facts.release in load().releases:
        flags = {**flags, "sglang_version": facts.release}
    return seen, flags


def _most_running(arguments: dict[str, Any]) -> int | None:
    """The cap on requests of all data-parallel servers; each has that of the arguments."""
    cap = arguments.get("max_running_requests")
    if not isinstance(cap, int):
        return None
    return cap if arguments.get("enable_dp_attention") else cap * (arguments.get("dp_size") or 1)


def _check_hardware(server: Endpoint, flags: dict[str, Any]) -> None:
    """A server elsewhere runs on hardware that must be named."""
    if not server.is_local and not flags["hardware"] and not flags["hardware_file"]:
        raise UsageError(
            f"{server.url} is another machine, whose GPUs are not known here",
            needed="--hardware NAME --gpus N, or --hardware-file FILE",
            remedies=["run replan on that machine"],
            code="hardware-missing",
        )


def _served(variant: str | None, path: str | None) -> dict[str, str]:
    """The options that name what a server serves."""
    if path is not None and Path(path).is_dir():
        return {"model_path": path}
    if variant is None:
        raise UsageError(
            "the server does not say which Gemma 4 variant it serves",
            needed="--model NAME",
            code="model-missing",
        )
    return {"model": variant}


def _as_if_idle(inventory: Inventory) -> Inventory:
    """``inventory`` without the memory that the running server holds."""
    from gemma4ctl.capacity.stages import idle_free_mib

    devices = tuple(
        device.model_copy(update={"memory_free_mib": idle_free_mib(device.memory_total_mib)})
        if device.memory_total_mib
        else device
        for device in inventory.devices
    )
    return inventory.model_copy(update={"devices": devices})
