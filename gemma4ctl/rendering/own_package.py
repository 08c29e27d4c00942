"""The installed gemma4ctl itself: what a container must have of it to load the model module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MOUNTED = (
    "The model module is mounted from this host's gemma4ctl: a host that runs this needs the same."
)
NO_METADATA = (
    "This gemma4ctl has no metadata of an installed package, by which SGLang finds plugins: KV "
    "pools stay SGLang's own, which may hold fewer tokens. Install it (pip install gemma4ctl)."
)


def folders() -> tuple[str, ...]:
    """The package, and its metadata where it is installed: SGLang reads the entry point there."""
    from importlib import metadata

    package = Path(__file__).parents[1]
    try:
        found = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return (str(package),)
    # Its list of files would name the folder too, but not all installers write one.
    info = Path(str(found.locate_file(f"{package.name}-{found.version}.dist-info")))
    return (str(package), *([str(info)] if (info / "entry_points.txt").is_file() else []))


def notes(mounted: Sequence[str], shared_kv: bool) -> tuple[str, ...]:
    """What to know of a container with these folders; nothing where it has none.

    ``shared_kv``: the plan asks for the plugin's KV pools.
    """
    if not mounted:
        return ()
    plugin = any(folder.endswith(".dist-info") for folder in mounted)
    return (MOUNTED,) if plugin or not shared_kv else (MOUNTED, NO_METADATA)
