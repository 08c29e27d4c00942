"""The JSON schema of ``--json``, generated: ``python -m gemma4ctl.rendering.schema [--check]``.

The models here only describe what :func:`gemma4ctl.rendering.document.plan_document` builds; a
command that prints JSON does not load them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

from gemma4ctl.hardware.inventory import Source, Vendor
from gemma4ctl.model import Model
from gemma4ctl.planning.plan import Capacity, Decision, Severity
from gemma4ctl.planning.request import Request

SCHEMA_FILE = Path(__file__).with_name("plan.schema.json")


class HardwareDocument(Model):
    """The devices the plan uses. ``memory_mib`` is the total of one of them."""

    platform: str
    vendor: Vendor
    gpu_count: int
    memory_mib: int | None
    source: Source


class VariantDocument(Model):
    """The weights that are served."""

    name: str
    model_path: str
    checkpoint: str


class CommandDocument(Model):
    """The command outside a container; ``shell`` is argv and env on one line for a POSIX shell."""

    argv: tuple[str, ...]
    env: dict[str, str]
    shell: str


class DockerDocument(Model):
    """The same plan as a ``docker run`` command."""

    argv: tuple[str, ...]
    image: str


class WarningDocument(Model):
    """Something the user should know, with what to do about it."""

    code: str
    severity: Severity
    message: str
    remedy: str


class PlanDocument(Model):
    """One plan. ``docker`` and ``capacity`` are null where there is no image or no memory model."""

    schema_version: Literal[1] = 1
    gemma4ctl_version: str
    request: Request
    hardware: HardwareDocument
    variant: VariantDocument
    command: CommandDocument
    docker: DockerDocument | None
    decisions: tuple[Decision, ...]
    capacity: Capacity | None
    warnings: tuple[WarningDocument, ...]


def schema_text() -> str:
    """The schema of :class:`PlanDocument` as the text of the committed file."""
    schema = PlanDocument.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str], file: Path = SCHEMA_FILE) -> int:
    """Write the schema to ``file``; with ``--check`` only say whether it is stale (status 4)."""
    if arguments == ["--check"]:
        if file.is_file() and file.read_text(encoding="utf-8") == schema_text():
            return 0
        print(f"{file} is stale: run python -m gemma4ctl.rendering.schema", file=sys.stderr)
        return 4
    file.write_text(schema_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
