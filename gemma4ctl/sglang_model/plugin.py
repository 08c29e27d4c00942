"""The entry point of group ``sglang.srt.plugins``: SGLang calls it early in each of its processes.

It fires in every ``sglang serve`` of an environment that has gemma4ctl installed, for any model,
so it imports nothing of SGLang before a variable asks for something. The model classes need no
plugin: SGLang loads them through ``SGLANG_EXTERNAL_MODEL_PACKAGE``.
"""

from __future__ import annotations

import os

from gemma4ctl.sglang_model import switches


def load() -> None:
    """Register the hooks of :mod:`~gemma4ctl.sglang_model.kv_sharing` where they are asked for."""
    if not switches.shared_kv_asked(os.environ):
        return
    from gemma4ctl.sglang_model import kv_sharing

    kv_sharing.register()
