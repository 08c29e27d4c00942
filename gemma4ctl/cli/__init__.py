"""The command line."""

from __future__ import annotations

import errno
import gc
import os
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

        try:
            app()
        finally:
            if sys.stdout is not None:  # as it is when nobody wants the output: `>&-`
                sys.stdout.flush()
    except KeyboardInterrupt:  # before the command began
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"gemma4ctl: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    finally:
        gc.freeze()


__all__ = ["main"]
