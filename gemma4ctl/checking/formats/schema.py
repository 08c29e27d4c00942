"""The schema of ``check --format json``: ``python -m gemma4ctl.checking.formats.schema [--check]``.

It is generated from the models and committed; ``--check`` fails when the file is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gemma4ctl.checking.formats.json import CheckDocument
from gemma4ctl.profiles.generated import write_or_check

SCHEMA_FILE = Path(__file__).with_name("check.schema.json")


def schema_text() -> str:
    """The schema of :class:`CheckDocument` as the text of the committed file."""
    schema = CheckDocument.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(
        write_or_check(
            SCHEMA_FILE, schema_text(), "gemma4ctl.checking.formats.schema", sys.argv[1:]
        )
    )
