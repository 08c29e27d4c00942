"""``gemma4ctl verify``: whether an endpoint does what it should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma4ctl.cli.help import AFTER_DASHES, Command, command_app
from gemma4ctl.cli.options import (
    ApiKeyFileOption,
    ForceOption,
    JsonOption,
    UrlOption,
    after_dashes,
)
from gemma4ctl.errors import ProblemsFoundError, UsageError

if TYPE_CHECKING:
    from gemma4ctl.endpoint.address import Endpoint
    from gemma4ctl.verify.report import Report, Result
    from gemma4ctl.verify.run import Options

app = command_app()


@app.command("verify", cls=Command, context_settings=AFTER_DASHES)
def verify(
    ctx: typer.Context,
    url: UrlOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="Served id, or the variant that it has to be."
        ),
    ] = None,
    api_key_file: ApiKeyFileOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CHECK", help="Run these checks only; may be repeated."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="CHECK", help="Leave these out; may be repeated."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="For one request (default 60)."),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights", help="Do not judge what answers say (default: as the server tells)."
        ),
    ] = False,
    kernels: Annotated[
        bool,
        typer.Option("--kernels", help="Certify the fused kernels for a checkpoint, and stop."),
    ] = False,
    model_path: Annotated[
        Path | None,
        typer.Option("--model-path", metavar="FOLDER", help="The weights, for --kernels."),
    ] = None,
    json: JsonOption = False,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML too."),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Say what the checks are, and stop.")
    ] = False,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="DIR", help="Write requests as files to run, and stop."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Check that a running endpoint serves Gemma 4 as it should.

    Chat, streams, images, audio, thinking, tools, JSON schemas, long prompts, concurrency, prefix
    cache, metrics and MTP. Every failure is named and comes with a curl command that repeats it.
    Exit status 4: something failed; 1: nothing answers. With --kernels it starts two servers
    itself, compares stock and fused answers, and writes the receipt that --kernels auto asks for;
    SGLang's own flags for them stand after --.

    Example: gemma4ctl verify --url http://127.0.0.1:30000 --junit verify.xml
    """
    from gemma4ctl.endpoint.address import endpoint
    from gemma4ctl.rendering.files import check_new
    from gemma4ctl.verify.junit import MARKER
    from gemma4ctl.verify.run import TIMEOUT_S, Options, names, run

    if listing:
        _list()
        return
    extra = after_dashes(ctx)
    if extra and not kernels:
        raise UsageError(
            "flags of SGLang are for the servers that --kernels starts",
            found=" ".join(extra),
            remedies=["gemma4ctl verify --kernels --model-path FOLDER -- FLAGS"],
            code="flags-without-server",
        )
    if kernels:
        from gemma4ctl.cli.commands.verify_kernels import verify_kernels

        if not verify_kernels(model_path, extra, json=json):
            raise typer.Exit(ProblemsFoundError.exit_code)
        return
    where = endpoint(url, api_key_file)
    options = Options(
        model=model,
        only=names(only or ()),
        skip=names(skip or ()),
        timeout_s=_seconds(timeout) if timeout is not None else TIMEOUT_S,
        random_weights=True if random_weights else None,
    )
    if examples is not None:
        _write_examples(where, options, examples, force=force)
        return
    if junit is not None:
        check_new(junit, marker=MARKER, force=force)
    report = run(where, options, on_result=_ignore if json else _print_result)
    _finish(report, json=json, junit=junit, force=force)
    if not report.passed:
        raise typer.Exit(ProblemsFoundError.exit_code)


def _seconds(timeout: float) -> float:
    if not 0 < timeout < float("inf"):
        raise UsageError(
            f"--timeout does not take {timeout}", needed="seconds, more than 0", code="bad-value"
        )
    return timeout


def _list() -> None:
    """The checks, one a line."""
    from gemma4ctl.verify.checks import CHECKS

    width = max(len(check.name) for check in CHECKS)
    for check in CHECKS:
        print(f"{check.name:<{width}}  {check.title}")


def _write_examples(where: Endpoint, options: Options, folder: Path, *, force: bool) -> None:
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.verify.examples import write_examples

    for path in write_examples(where, options, folder, force=force):
        print(path)
    say("the Python examples need `pip install openai`; run them in this folder")


def _ignore(result: Result) -> None:
    """For JSON: everything is printed at the end."""


def _print_result(result: Result) -> None:
    from rich.text import Text

    from gemma4ctl.cli.show import console
    from gemma4ctl.verify.text import result_lines

    out = console()
    for line in result_lines(result, out.width):
        text = Text(line.text)
        text.stylize(line.style, 0, line.styled)
        out.print(text, soft_wrap=True)


def _finish(report: Report, *, json: bool, junit: Path | None, force: bool) -> None:
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.verify.text import closing_lines

    if json:
        from gemma4ctl.cli.show import print_json
        from gemma4ctl.verify.document import verify_document

        print_json(verify_document(report).model_dump(mode="json"))
    if junit is not None:
        from gemma4ctl.rendering.files import write_new
        from gemma4ctl.verify.junit import MARKER, junit_text

        write_new(junit, junit_text(report), marker=MARKER, force=force)
    for line in closing_lines(report):
        say(line)
