"""The command line."""

from __future__ import annotations

import gc


def main() -> None:
    """Run ``gemma4ctl`` with the process's arguments.

    Most commands end within a second and leave no garbage worth a search, so the collector is off,
    also for the last search at exit; ``serve``, which stays, turns it on again.
    """
    gc.disable()
    from gemma4ctl.cli.app import run

    try:
        run()
    finally:
        gc.freeze()


__all__ = ["main"]
