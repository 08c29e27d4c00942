"""The JSON schema of ``--json``, generated: ``python -m gemma4ctl.rendering.schema [--check]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gemma4ctl.rendering.document import PlanDocument

SCHEMA_FILE = Path(__file__).with_name("plan.schema.json")


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
