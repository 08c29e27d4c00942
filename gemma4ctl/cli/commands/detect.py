"""``gemma4ctl detect``: what this machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gemma4ctl.cli.help import Command, command_app
from gemma4ctl.cli.options import JsonOption

app = command_app()


@app.command("detect", cls=Command)
def detect(
    hardware_file: Annotated[
        Path | None,
        typer.Option(
            "--hardware-file",
            metavar="FILE",
            help="Show what `gemma4ctl detect --json` wrote instead of this machine.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the GPUs and the host, with the source of each value.

    The JSON can be given back as --hardware-file, on any machine.
    """
    from gemma4ctl.cli.show import console, print_json
    from gemma4ctl.hardware.detect import detect as detect_hardware
    from gemma4ctl.hardware.files import read_inventory
    from gemma4ctl.hardware.identify import identify
    from gemma4ctl.profiles.load import load
    from gemma4ctl.rendering.table import inventory_table, show

    found = read_inventory(hardware_file) if hardware_file else detect_hardware()
    inventory = identify(found, load())
    if json:
        print_json(inventory.model_dump(mode="json"))
        return
    out = console()
    show(inventory_table(inventory, out.width), out)
