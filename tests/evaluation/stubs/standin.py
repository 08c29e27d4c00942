"""What every stand-in evaluator does: says what it was called with, prints a recorded output.

``FAKE_OUTPUT`` is a folder with an output by task or by evaluator (``gsm8k.txt``, ``few_shot.txt``)
and sgl-eval's ``metrics.json``; ``FAKE_DUMP`` a file that gets arguments and environment;
``FAKE_STATUS`` the exit status; with ``FAKE_STALL`` it never ends.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path


def play(argv: list[str], name: str, metrics_folder: Path | None = None) -> int:
    if "FAKE_DUMP" in os.environ:
        found = {"argv": sys.argv, "given": argv, "env": dict(os.environ), "pid": os.getpid()}
        Path(os.environ["FAKE_DUMP"]).write_text(json.dumps(found))
    outputs = Path(os.environ["FAKE_OUTPUT"])
    sys.stdout.buffer.write((outputs / f"{name}.txt").read_bytes())
    sys.stdout.flush()
    if "FAKE_STALL" in os.environ:
        time.sleep(1000)
    metrics = outputs / "metrics.json"
    if metrics_folder is not None and metrics.exists():
        metrics_folder.mkdir(parents=True)
        shutil.copy(metrics, metrics_folder)
    return int(os.environ.get("FAKE_STATUS", "0"))
