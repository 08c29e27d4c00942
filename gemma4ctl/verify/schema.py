"""The schema of ``verify --json``: ``python -m gemma4ctl.verify.schema [--check]``.

It is generated from the models and committed; ``--check`` fails when the file is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gemma4ctl.profiles.generated import write_or_check
from gemma4ctl.verify.document import VerifyDocument

SCHEMA_FILE = Path(__file__).with_name("verify.schema.json")


def schema_text() -> str:
    """The schema of :class:`VerifyDocument` as the text of the committed file."""
    schema = VerifyDocument.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(SCHEMA_FILE, schema_text(), "gemma4ctl.verify.schema", sys.argv[1:]))
