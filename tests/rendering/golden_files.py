"""The golden files: what every form looks like, for review by eye and for the tests.

``python -m tests.rendering.golden_files`` writes them anew after a change that is meant.
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console, RenderableType

from gemma4ctl.rendering.compose import compose
from gemma4ctl.rendering.docker_run import docker_shell
from gemma4ctl.rendering.shell import shell
from gemma4ctl.rendering.table import explain_table, inventory_table, plan_table, show

from .inventories import INVENTORIES
from .plans import HOST, PLANS

FOLDER = Path(__file__).parent / "golden"
TABLES = ("h200-26b-mtp-tp2", "b200-extra-args", "mi300x-e2b")


def plain(renderable: RenderableType, width: int) -> str:
    """``renderable`` as it is printed on a console without colour; no trailing blanks."""
    file = io.StringIO()
    show(renderable, Console(file=file, width=width, no_color=True, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def golden_files() -> dict[str, str]:
    """File name -> text."""
    files: dict[str, str] = {}
    for name, plan in PLANS.items():
        files[f"{name}.sh"] = shell(plan) + "\n"
        files[f"{name}.docker.sh"] = docker_shell(plan, HOST) + "\n"
        files[f"{name}.compose.yaml"] = compose(plan, HOST)
    for width in (80, 120):
        for name in TABLES:
            files[f"{name}.{width}.txt"] = plain(plan_table(PLANS[name], width), width)
        files[f"explain.{width}.txt"] = plain(explain_table(PLANS["b200-extra-args"]), width)
        for name, inventory in INVENTORIES.items():
            files[f"inventory-{name}.{width}.txt"] = plain(inventory_table(inventory, width), width)
    return files


if __name__ == "__main__":
    for old in FOLDER.iterdir():
        old.unlink()
    for file_name, text in golden_files().items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")
