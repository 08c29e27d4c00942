"""The built-in table as JSON: ``python -m gemma4ctl.profiles.compiled [--check]``.

Reading ``profiles.yaml`` takes most of the time of a short command; ``profiles.json`` holds the
same data in a form that loads fast. It is committed, starts with the checksum of the file it was
made from, and ``--check`` fails when it is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from gemma4ctl.profiles.generated import write_or_check
from gemma4ctl.profiles.load import COMPILED_FILE, builtin_file, checksum, text_hash
from gemma4ctl.profiles.reading import parse


def compiled_text() -> str:
    """The compiled table, as committed."""
    file = builtin_file()
    text = file.read_text(encoding="utf-8")
    table = {"checksum": checksum(text), "hash": text_hash(text), **parse(text, file)}
    return json.dumps(table, indent=1) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the compiled table, or with ``--check`` return 1 when the committed one is stale."""
    return write_or_check(COMPILED_FILE, compiled_text(), "gemma4ctl.profiles.compiled", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
