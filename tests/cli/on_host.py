"""``python on_host.py FIXTURE ARGUMENTS...``: gemma4ctl on a recorded host.

Detection reads ``tests/hardware/fixtures/FIXTURE.json`` instead of this machine; everything else,
processes and signals included, is real.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import gemma4ctl.hardware.detect as detection
from gemma4ctl.cli import main
from tests.hardware.recorded import access_to, recorded


def on_host(fixture: str) -> None:
    """Let detection read the recorded host."""
    real, root = detection.detect, Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR")))
    access = access_to(recorded(fixture), root)

    def detect(*_: Any) -> Any:
        return real({}, access)

    detection.detect = detect  # type: ignore[assignment]


if __name__ == "__main__":
    on_host(sys.argv.pop(1))
    sys.argv[0] = "gemma4ctl"
    main()
