"""The schema of ``fit --json``: ``python -m gemma4ctl.fitting.schema [--check]``.

It is generated from the models and committed; ``--check`` fails when the file is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gemma4ctl.fitting.document import FitDocument
from gemma4ctl.profiles.generated import write_or_check

SCHEMA_FILE = Path(__file__).with_name("fit.schema.json")


def schema_text() -> str:
    """The schema of :class:`FitDocument` as the text of the committed file."""
    schema = FitDocument.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(SCHEMA_FILE, schema_text(), "gemma4ctl.fitting.schema", sys.argv[1:]))
