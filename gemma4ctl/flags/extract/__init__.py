"""Reads the flag table of an SGLang release from its source files, importing nothing of it.

``source`` reads a wheel or a folder, ``evaluate`` computes the constant expressions of its
modules, ``declarations`` finds where flags are declared, ``normalize`` turns each declaration into
one :class:`~gemma4ctl.flags.table.Flag`.
"""

from gemma4ctl.flags.extract.declarations import declarations, takes_positional_model
from gemma4ctl.flags.extract.evaluate import NotStaticError
from gemma4ctl.flags.extract.normalize import flag_of
from gemma4ctl.flags.extract.source import FolderTree, NotSglangError, SourceTree, WheelTree
from gemma4ctl.flags.table import FlagTable

__all__ = ["FolderTree", "NotSglangError", "NotStaticError", "SourceTree", "WheelTree", "extract"]


def extract(tree: SourceTree, release: str) -> FlagTable:
    """The flag table of the SGLang source in ``tree``, which is ``release``.

    Raises NotSglangError when the tree declares no flags, NotStaticError when a flag's options or
    choices cannot be computed without running SGLang.
    """
    flags = sorted((flag_of(d) for d in declarations(tree)), key=lambda flag: flag.options)
    return FlagTable(
        release=release, flags=tuple(flags), positional_model=takes_positional_model(tree)
    )
