"""Records of measurements, as the scripts beside this file keep them."""

from __future__ import annotations

import json
from pathlib import Path


def write(path: Path, document: object) -> None:
    """Write JSON so that an interruption leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)
