"""Loading what is to be checked: limits, and text that is none."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from gemma4ctl.checking.readers.inputs import MAX_BYTES, NotTextError, load
from gemma4ctl.errors import UsageError


def test_text_is_kept_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.sh"
    file.write_bytes("\ufeffa\r\nb\rc\né".encode())
    assert load(file) == "\ufeffa\r\nb\rc\né"
    assert load(str(file)) == load(file)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"sglang serve")))
    assert load("-") == "sglang serve"


def test_a_pipe(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"sglang")
    os.close(write_end)
    assert load(f"/dev/fd/{read_end}") == "sglang"
    os.close(read_end)


@pytest.mark.parametrize("data", [b"\x7fELF\0\0", b"a\0b", b"\xff\xfe", b"caf\xe9"])
def test_binary_data_is_not_checked(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.sh"
    file.write_bytes(data)
    with pytest.raises(NotTextError, match="not UTF-8 text") as error:
        load(file)
    assert error.value.code == "input-binary"


def test_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "a.sh"
    file.write_bytes(b"x" * MAX_BYTES)
    assert len(load(file)) == MAX_BYTES
    file.write_bytes(b"x" * 10_000_000)
    with pytest.raises(UsageError, match="too large") as error:
        load(file)
    assert error.value.exit_code == 2


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "missing")
    with pytest.raises(UsageError, match="not a file"):
        load(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match="Cannot read"):
        load(tmp_path / "loop")


def test_no_endless_device() -> None:
    with pytest.raises(UsageError, match="not a file"):
        load("/dev/zero")
