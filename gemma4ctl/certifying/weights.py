"""A name for the weights of a folder: a hash of what they hold.

Hashing all of 60 GB takes minutes, so each file is sampled: its size, its header and blocks spread
evenly over it. Training changes nearly every value, so other weights of the same shapes have
another hash; a change of a few single values may not.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from gemma4ctl.errors import UsageError

BLOCK = 64 * 1024  # bytes
BLOCKS = 64  # of a file
CONFIG = "config.json"


def weights_hash(folder: Path) -> str:
    """The SHA-256 of the configuration and of samples of every weight file, as hex.

    Raises:
        UsageError: the folder has no configuration or no weights, or they cannot be read.
    """
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files or not (folder / CONFIG).is_file():
        raise UsageError(
            f"{folder} holds no weights",
            needed=f"a folder with {CONFIG} and *.safetensors",
            remedies=["download them first: hf download google/gemma-4-E2B-it --local-dir FOLDER"],
            code="weights-missing",
        )
    digest = hashlib.sha256()
    for file in (folder / CONFIG, *files):
        try:
            _add(digest, file)
        except OSError as error:
            raise UsageError(
                f"{file} cannot be read", found=error.strerror or str(error), code="unreadable"
            ) from error
    return digest.hexdigest()


def _add(digest: hashlib._Hash, file: Path) -> None:
    """Name, size and blocks of ``file``: the first, which holds the header, to the last."""
    size = file.stat().st_size
    digest.update(f"{file.name}\0{size}\0".encode())
    last = max(0, size - BLOCK)
    with file.open("rb") as data:
        for place in sorted({last * number // (BLOCKS - 1) for number in range(BLOCKS)}):
            data.seek(place)
            digest.update(data.read(BLOCK))
