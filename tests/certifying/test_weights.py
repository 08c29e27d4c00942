from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl.certifying.weights import BLOCK, weights_hash
from gemma4ctl.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model-1.safetensors").write_bytes(bytes(range(256)) * 1024)
    (tmp_path / "model-2.safetensors").write_bytes(b"short")
    return tmp_path


def test_it_is_the_same_for_the_same_weights(folder: Path) -> None:
    assert weights_hash(folder) == weights_hash(folder)
    (folder / "README.md").write_text("not weights")
    before = weights_hash(folder)
    (folder / "README.md").unlink()
    assert weights_hash(folder) == before


@pytest.mark.parametrize("place", [0, BLOCK, 100_000, 256 * 1024 - 1])
def test_a_change_of_a_small_file_is_seen(folder: Path, place: int) -> None:
    before = weights_hash(folder)
    data = bytearray((folder / "model-1.safetensors").read_bytes())
    data[place] ^= 1
    (folder / "model-1.safetensors").write_bytes(data)
    assert weights_hash(folder) != before


def test_a_large_file_is_sampled_all_over(folder: Path) -> None:
    """Of 64 MiB, a sixteenth is read; training changes nearly all of it."""
    large = folder / "model-3.safetensors"
    large.write_bytes(bytes(64 << 20))
    before = weights_hash(folder)
    with large.open("r+b") as file:
        for place in range(1 << 20, 63 << 20, 1 << 20):
            file.seek(place)
            file.write(b"\1" * (1 << 20))
    assert weights_hash(folder) != before
    large.write_bytes(bytes((64 << 20) + 1))
    assert weights_hash(folder) != before


@pytest.mark.parametrize("missing", ["config.json", "model-*.safetensors", "*"])
def test_without_weights_there_is_no_hash(folder: Path, missing: str) -> None:
    for file in folder.glob(missing):
        file.unlink()
    with pytest.raises(UsageError, match="holds no weights"):
        weights_hash(folder)


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "model-2.safetensors").unlink()
    (folder / "model-2.safetensors").symlink_to(folder / "gone")
    with pytest.raises(UsageError, match="cannot be read"):
        weights_hash(folder)
