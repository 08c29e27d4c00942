"""``gemma4ctl doctor``: a report to paste into a bug."""

from __future__ import annotations

from typing import Annotated

import typer

from gemma4ctl.cli.help import Command, command_app
from gemma4ctl.cli.options import ForceOption, JsonOption

app = command_app()


@app.command("doctor", cls=Command)
def doctor(
    json: JsonOption = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the report to this file."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Print a redacted report of this machine.

    Tokens, host names, UUIDs and home folders are replaced. Its JSON can be given back as
    --hardware-file.
    """
    import json as encoder

    from gemma4ctl.doctor import KIND, TITLE, report, report_text

    found = report()
    text = encoder.dumps(found, indent=2, ensure_ascii=False) if json else report_text(found)
    if output is None:
        print(text)
        return
    _write(text, output, marker=KIND if json else TITLE, force=force)


def _write(text: str, output: str, *, marker: str, force: bool) -> None:
    from pathlib import Path

    from gemma4ctl.cli.inputs import say
    from gemma4ctl.rendering.files import write_new

    write_new(Path(output), f"{text}\n", marker=marker, force=force, mode=0o600)
    say(f"report written to {output}; look through it before you send it")
