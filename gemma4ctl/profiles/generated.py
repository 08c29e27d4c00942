"""Files of this package that are generated from others, and the check that they are current."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def write_or_check(file: Path, text: str, module: str, arguments: Sequence[str]) -> int:
    """Write ``text``; with ``--check`` in ``arguments`` only say whether ``file`` holds it.

    Returns the exit status: 1 when the check finds ``file`` stale. ``module`` writes it.
    """
    if "--check" not in arguments:
        file.write_text(text, encoding="utf-8")
        return 0
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return 0
    print(f"{file} is stale: run python -m {module}", file=sys.stderr)
    return 1
