"""``gemma4ctl serve`` beside a measurement, for the scripts of this folder."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CLI = [sys.executable, "-m", "gemma4ctl"]
READY_S = 420
STOP_S = 120


@contextmanager
def serving(
    out: Path, name: str, options: Sequence[str], flags: Sequence[str]
) -> Iterator[list[str]]:
    """A server, ready to be asked, as long as the ``with`` block runs; gives its command.

    What ``serve`` says, its result and the server's log go to ``NAME.stderr``, ``NAME.serve.json``
    and ``NAME.log`` in ``out``. Ends the script where the server does not become ready.
    """
    words = [
        "serve", *options, "--runtime", "local", "--ready-timeout", str(READY_S), "--grace", "10",
        "--log-file", str(out / f"{name}.log"), "--json", "--", *flags,
    ]  # fmt: skip
    messages = out / f"{name}.stderr"
    with messages.open("w") as err, (out / f"{name}.serve.json").open("w") as report:
        process = subprocess.Popen([*CLI, *words], stdout=report, stderr=err)
        try:
            while "ready after" not in messages.read_text():
                if process.poll() is not None:
                    sys.exit(f"{name}: the server did not start; see {messages}")
                time.sleep(0.5)
            yield ["gemma4ctl", *words]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_S)
