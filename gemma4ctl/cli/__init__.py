"""The command line."""

from gemma4ctl.cli.app import main

__all__ = ["main"]
