"""The JSON schema of profile files: ``python -m gemma4ctl.profiles.schema [--check]``.

The schema describes a complete table; an overlay may leave out whatever it does not change. It is
committed as ``profiles.schema.json`` beside this module, and ``--check`` fails when it is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gemma4ctl.profiles.generated import write_or_check
from gemma4ctl.profiles.table import Profiles

SCHEMA_FILE = Path(__file__).with_name("profiles.schema.json")


def schema_text() -> str:
    """The JSON schema, as committed."""
    schema = Profiles.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "gemma4ctl profile table"
    del schema["properties"]["hash"]  # computed when the table is loaded
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the schema, or with ``--check`` return 1 when the committed one is stale."""
    return write_or_check(SCHEMA_FILE, schema_text(), "gemma4ctl.profiles.schema", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
