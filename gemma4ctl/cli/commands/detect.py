"""``gemma4ctl detect``: what this machine has."""

from __future__ import annotations

from gemma4ctl.cli.options import JsonOption


def detect(json: JsonOption = False) -> None:
    """Show the GPUs and the host, with the source of each value.

    The JSON can be given back as --hardware-file, on any machine.
    """
    from gemma4ctl.cli.show import console, print_json
    from gemma4ctl.hardware.detect import detect as detect_hardware
    from gemma4ctl.hardware.identify import identify
    from gemma4ctl.profiles.load import load
    from gemma4ctl.rendering.table import inventory_table, show

    inventory = identify(detect_hardware(), load())
    if json:
        print_json(inventory.model_dump(mode="json"))
        return
    out = console()
    show(inventory_table(inventory, out.width), out)
