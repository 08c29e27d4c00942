"""The command line."""

from __future__ import annotations

import gc
import sys

from gemma4ctl.cli.streams import unread

INTERRUPTED = 130  # exit status: 128 + SIGINT


def main() -> None:
    """Run ``gemma4ctl`` with the process's arguments.

    Most commands end within a second and leave no garbage worth a search, so the collector is off,
    also for the last search at exit; ``serve``, which stays, turns it on again.
    """
    gc.disable()
    sys.stdout, sys.stderr = unread(sys.stdout), unread(sys.stderr)
    try:
        from gemma4ctl.cli.app import app

        app()
    except KeyboardInterrupt:  # before the command began
        sys.exit(INTERRUPTED)
    finally:
        gc.freeze()


__all__ = ["main"]
