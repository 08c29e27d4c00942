"""Optional packages: imported when they are needed, with the command that installs a missing one.

The extras of ``pyproject.toml``: ``client`` talks to endpoints, ``plot`` draws, ``tune`` searches.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Literal

from gemma4ctl.errors import UsageError

Extra = Literal["client", "plot", "tune"]


def require(module: str, extra: Extra, purpose: str) -> ModuleType:
    """Import ``module``, which the extra ``extra`` installs; ``purpose`` is what needs it.

    Raises:
        UsageError: it is not installed, or its own imports fail.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"{purpose} needs the Python package {module.partition('.')[0]}",
            needed=module,
            found=str(error),
            remedies=[f"pip install 'gemma4ctl[{extra}]'"],
            code="extra-missing",
        ) from error
