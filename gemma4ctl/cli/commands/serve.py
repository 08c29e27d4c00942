"""``gemma4ctl serve``: preflight, launch, wait until ready, stay, stop cleanly."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from gemma4ctl.cli.help import AFTER_DASHES, Command, command_app
from gemma4ctl.cli.options import ExplainOption, JsonOption, PlanOption, request_options

if TYPE_CHECKING:
    from gemma4ctl.cli.plans import Planned
    from gemma4ctl.launch.runtime import RuntimeChoice
    from gemma4ctl.launch.spec import LaunchSpec
    from gemma4ctl.launch.supervise import Outcome
    from gemma4ctl.planning.plan import Plan
    from gemma4ctl.verify.run import Verification

READY_TIMEOUT_S = 1800
GRACE_S = 60

app = command_app()


@app.command("serve", cls=Command, context_settings=AFTER_DASHES)
@request_options
def serve(
    ctx: typer.Context,
    flags: dict[str, Any],
    extra: tuple[str, ...],
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="KIND",
            help="auto (default): an installed SGLang, else docker; local; docker.",
        ),
    ] = None,
    ready_timeout: Annotated[
        str | None,
        typer.Option("--ready-timeout", metavar="SECONDS", help="Longest start (default 1800)."),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace", metavar="SECONDS", help="Time to finish requests when stopped (default 60)."
        ),
    ] = None,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", metavar="FILE", help="Where the server's log goes."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print exactly what would run, and stop.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the endpoint (gemma4ctl verify) when ready.")
    ] = False,
    plan_file: PlanOption = None,
    json: JsonOption = False,
    explain: ExplainOption = False,
) -> None:
    """Start Gemma 4 on this machine and stay with it.

    Returns the server's own exit status; 5: this host is not ready, 6: the server did not start.
    SIGINT and SIGTERM let it finish running requests first. What --verify finds is shown, and the
    server stays. With --json the result is printed
    as one object when the server has ended.

    Example: gemma4ctl serve --model 26B-A4B --mtp
    """
    from gemma4ctl.cli import show
    from gemma4ctl.cli.plans import stored_or_made
    from gemma4ctl.launch.signals import exit_on_signals
    from gemma4ctl.settings import gather

    settings = gather({"runtime": runtime, "ready_timeout": ready_timeout, "grace": grace})
    planned = stored_or_made(plan_file, flags, extra, "serve")
    show.say_warnings(planned.plan.warnings)
    if explain:
        show.explain(planned.plan, on_stderr=True)
    choice = _runtime(planned, settings.get("runtime", "auto"))
    spec = _spec(
        planned,
        choice,
        log_file=log_file,
        ready_timeout_s=float(settings.get("ready_timeout", READY_TIMEOUT_S)),
        grace_s=float(settings.get("grace", GRACE_S)),
    )
    if dry_run:
        _show(planned.plan, spec, choice, json=json)
        return
    _preflight(planned, choice)
    with exit_on_signals(), _key_file(planned):
        outcome = _launch(planned.plan, spec, json=json, verify=verify)
    raise typer.Exit(outcome.status)


def _runtime(planned: Planned, asked: str) -> RuntimeChoice:
    """Where the server runs, for a plan."""
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.launch.runtime import choose_runtime

    plan = planned.plan
    variant = planned.profiles.variants[plan.variant.name]
    least = variant.mtp_min_release if plan.variant.draft_path else variant.min_release
    kind = cast(Literal["auto", "local", "docker"], asked)
    choice = choose_runtime(kind, os.environ, min_release=least)
    if kind == "auto" and choice.runtime == "docker":
        say(f"running in a container: {choice.reason}")
    return choice


def _spec(
    planned: Planned,
    choice: RuntimeChoice,
    *,
    log_file: Path | None,
    ready_timeout_s: float,
    grace_s: float,
) -> LaunchSpec:
    """What to launch for a plan."""
    from gemma4ctl.launch.spec import LaunchSpec
    from gemma4ctl.rendering.command import argv, environment
    from gemma4ctl.sglang_model.switches import fused_asked, prefill_graph_sizes, shared_kv_asked

    plan = planned.plan
    port = int(str(plan.value("port") or plan.request.port))
    name = f"gemma4ctl-{port}" if choice.runtime == "docker" else None
    if choice.runtime == "docker":
        from gemma4ctl.rendering.docker_run import docker_argv

        words, env = docker_argv(plan, name=name), {}
    else:
        words, env = argv(plan), environment(plan)
        if choice.install is not None:
            words[0] = str(choice.install.executable)
    return LaunchSpec(
        argv=tuple(words),
        env=env,
        host=str(plan.value("host") or plan.request.host),
        port=port,
        scheme="https" if plan.value("ssl_certfile") else "http",
        log_path=log_file,
        ready_timeout_s=ready_timeout_s,
        grace_s=grace_s,
        api_key=planned.api_key,
        predicted_full_layer_tokens=plan.capacity.full_layer_tokens if plan.capacity else None,
        fused=fused_asked(environment(plan)),
        shared_kv=shared_kv_asked(environment(plan)),
        prefill_graphs=bool(prefill_graph_sizes(environment(plan))),
        container_name=name,
        release=plan.release,
    )


def _show(plan: Plan, spec: LaunchSpec, choice: RuntimeChoice, *, json: bool) -> None:
    """Print what would run: for a shell, or as one JSON object."""
    from gemma4ctl.cli.show import print_json
    from gemma4ctl.rendering.docker_run import docker_shell

    if json:
        document = {"runtime": choice.runtime, "argv": list(spec.argv), "env": spec.env}
        print_json({"schema_version": 1, **document})
    elif choice.runtime == "docker":
        print(docker_shell(plan, name=spec.container_name))
    else:
        print(_local_shell(spec))


def _local_shell(spec: LaunchSpec) -> str:
    """``spec`` for a POSIX shell: assignments, then the command, one option a line."""
    import shlex

    from gemma4ctl.rendering.command import lines
    from gemma4ctl.rendering.shell import join_lines

    assignments = [f"{name}={shlex.quote(value)} \\\n" for name, value in spec.env.items()]
    return "".join(assignments) + join_lines(lines(spec.argv, head=2))


def _preflight(planned: Planned, choice: RuntimeChoice) -> None:
    """Check the host; warnings are shown, a failed check refuses to launch."""
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.hardware.detect import detect
    from gemma4ctl.hardware.identify import identify
    from gemma4ctl.launch import preflight

    needs = preflight.needs_of(planned.plan, planned.profiles, choice.runtime)
    inventory = identify(detect(), planned.profiles)
    found = preflight.checks(needs, inventory, os.environ, install=choice.install)
    for check in found:
        if check.status == "warn":
            say(f"{check.name}: {check.found}; needed: {check.needed}\n           {check.remedy}")
    preflight.require(found)


@contextmanager
def _key_file(planned: Planned) -> Iterator[None]:
    """Keep the file with the API key, which is this launch's own, while the server runs."""
    from gemma4ctl.secrets import write_config

    path = planned.plan.request.api_key_config
    if path is None or planned.api_key is None:
        yield
        return
    try:
        write_config(Path(path), planned.api_key)
        yield
    finally:
        Path(path).unlink(missing_ok=True)


def _launch(plan: Plan, spec: LaunchSpec, *, json: bool, verify: bool) -> Outcome:
    """Launch and stay; with ``json`` print the result, of a failed start too."""
    from gemma4ctl.cli.show import print_json
    from gemma4ctl.launch.status import status_sink
    from gemma4ctl.launch.supervise import StartFailedError
    from gemma4ctl.launch.supervise import serve as supervise

    gc.enable()  # the command line turns it off
    status = status_sink()
    verification = _verification(spec, status.say) if verify else None
    try:
        outcome = supervise(spec, status, verification)
    except StartFailedError as error:
        if json:
            print_json(result_document(plan, spec, error.outcome, verification))
        raise
    if json:
        print_json(result_document(plan, spec, outcome, verification))
    return outcome


def _verification(spec: LaunchSpec, say: Callable[[str], None]) -> Verification:
    """What ``--verify`` runs beside the server.

    Raises:
        UsageError: a package that it needs is missing: better now than when the server is ready.
    """
    from gemma4ctl.endpoint.address import Endpoint
    from gemma4ctl.verify.run import Options, Verification, require_packages

    require_packages()
    key = spec.api_key.get_secret_value() if spec.api_key else None
    return Verification(Endpoint(spec.url, key), Options(), say)


def result_document(
    plan: Plan, spec: LaunchSpec, outcome: Outcome, verification: Verification | None = None
) -> dict[str, Any]:
    """The result of a launch as a JSON-ready object."""
    from dataclasses import asdict

    return {
        "schema_version": 1,
        "variant": plan.variant.name,
        "gpu": plan.hardware.platform,
        "gpu_count": plan.hardware.gpu_count,
        "sglang_version": plan.release,
        "argv": list(spec.argv),
        "env": spec.env,
        "url": spec.url,
        "status": "ready" if outcome.seconds_to_ready is not None else "failed",
        "seconds_to_ready": outcome.seconds_to_ready,
        "phase_seconds": outcome.phase_seconds,
        "predicted": plan.capacity.model_dump(mode="json") if plan.capacity else None,
        "reported": asdict(outcome.reported),
        "notices": [asdict(notice) for notice in outcome.notices],
        "verification": verification.document() if verification else None,
        "diagnosis": asdict(outcome.diagnosis) if outcome.diagnosis else None,
        "ending": outcome.ending,
        "exit_status": outcome.status,
        "log": str(outcome.log_path),
    }
