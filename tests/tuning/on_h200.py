"""``python on_h200.py ARGUMENTS...``: gemma4ctl on the captured H200, trials included.

Detection gives what a real H200 host reported; the ``serve`` of a trial runs on it too. A search is
a small one. Everything else, processes and signals included, is real.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import gemma4ctl.hardware.detect as detection
from gemma4ctl.cli import main
from gemma4ctl.hardware.files import read_inventory

FIXTURES = Path(__file__).parents[1] / "hardware" / "fixtures"


def on_h200() -> None:
    """Let detection give the captured inventory."""
    inventory = read_inventory(FIXTURES / "captured" / "h200-inventory.json")

    def detect(*_: Any) -> Any:
        return inventory

    detection.detect = detect  # type: ignore[assignment]


if __name__ == "__main__":
    on_h200()
    if sys.argv[1] == "tune":
        from gemma4ctl.tuning import server
        from tests.tuning.small import shrink

        shrink()
        server.PROGRAM = (sys.executable, __file__)
    sys.argv[0] = "gemma4ctl"
    main()
