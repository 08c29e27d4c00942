"""Gemma 4's model classes under SGLang's own names, for SGLang's model registry.

The registry prefers them to its own of the same name. When the kernels are not asked for, or cannot
be used with this release, ``EntryClass`` is empty and SGLang's own classes stay.
"""

from __future__ import annotations

import os

from gemma4ctl.sglang_model import announce, support, switches


def _entry_classes() -> list[type]:
    """The classes to register."""
    if not switches.fused_asked(os.environ):
        return []
    try:
        import sglang

        if (problem := support.release_problem(sglang.__version__)) is not None:
            announce.stock_kernels("Gemma 4", problem)
            return []
        from gemma4ctl.sglang_model import classes

        return classes.ALL
    except Exception as error:
        announce.stock_kernels("Gemma 4", f"{type(error).__name__}: {error}")
        return []


EntryClass = _entry_classes()
