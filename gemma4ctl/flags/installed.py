"""The flag table of the SGLang installed in this environment, read without importing it."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from gemma4ctl.flags.table import FlagTable, load

# What reading declarations of a shape that no release has had yet can end in.
MISREADINGS = (AttributeError, LookupError, TypeError, ValueError)
UNVERSIONED = "(installed)"  # the release of a source tree without package metadata


@lru_cache(maxsize=1)
def installed_table() -> FlagTable | None:
    """The flags that the installed SGLang accepts; None where none is installed.

    Always read from its source files, so a patched or nightly SGLang is judged by its own flags;
    where they cannot be understood, the table known for its release stands in.
    """
    root = _site_folder()
    if root is None:
        return None
    from gemma4ctl.flags.extract import FolderTree, NotSglangError, NotStaticError, extract

    release = _release()
    try:
        return extract(FolderTree(root), release)
    except (NotSglangError, NotStaticError, OSError, SyntaxError, *MISREADINGS):
        return None if release == UNVERSIONED else load(release)


def _site_folder() -> Path | None:
    """The folder that contains the package ``sglang``."""
    spec = find_spec("sglang")  # a top-level name, so nothing is imported
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))).parent if locations else None


def _release() -> str:
    """The installed version as its metadata gives it."""
    try:
        return metadata.version("sglang")
    except metadata.PackageNotFoundError:
        return UNVERSIONED
