"""The API key: where it is read, and the only file it is written to."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from gemma4ctl.errors import UsageError
from gemma4ctl.secrets import (
    LARGEST_KEY,
    VARIABLE,
    config_path,
    find_api_key,
    launch_config_path,
    write_config,
)

KEY = "sk-0123456789"


def found(environment: dict[str, str], file: Path | None = None) -> str | None:
    key = find_api_key(environment, str(file) if file else None)
    return key.get_secret_value() if key else None


def test_the_file_wins(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert found({}) is None
    assert found({VARIABLE: ""}) is None
    assert found({VARIABLE: "other"}) == "other"
    assert found({VARIABLE: "other"}, file) == KEY
    assert KEY not in repr(find_api_key({VARIABLE: KEY}, None))


@pytest.mark.parametrize(
    "key",
    ["", "two words", "two\nlines", "tab\tinside", "ключ", "-starts-with-dash", "x" * 5000, "\x7f"],
)
def test_unusable_keys(tmp_path: Path, key: str) -> None:
    file = tmp_path / "key"
    file.write_text(key)
    with pytest.raises(UsageError) as caught:
        find_api_key({}, str(file))
    assert str(file) in str(caught.value)
    assert not key or key not in str(caught.value)
    if key:
        with pytest.raises(UsageError, match=VARIABLE):
            find_api_key({VARIABLE: key}, None)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    for name in ("none", ".", "binary", "nul\0"):
        with pytest.raises(UsageError) as caught:
            find_api_key({}, f"{tmp_path}/{name}")
        assert caught.value.code == "api-key-unreadable"


@pytest.mark.parametrize("key", [KEY, "true", "123", "a\"b'c\\d", "#:{}[]", "x" * LARGEST_KEY])
def test_sglang_reads_the_same_key(tmp_path: Path, key: str) -> None:
    path = config_path({"XDG_STATE_HOME": str(tmp_path)}, 30000)
    write_config(path, SecretStr(key))
    assert yaml.safe_load(path.read_text()) == {"api-key": key}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_an_older_file_with_the_same_key_gets_the_right_mode(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write_config(path, SecretStr(KEY))
    path.chmod(0o644)
    write_config(path, SecretStr(KEY))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kept", [b'api-key: "another-key"\n', b"\xff"])
def test_another_key_is_never_replaced(tmp_path: Path, kept: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(kept)
    with pytest.raises(UsageError) as caught:
        write_config(path, SecretStr(KEY))
    assert caught.value.code == "api-key-kept"
    assert str(path) in str(caught.value)
    assert KEY not in str(caught.value) and "another-key" not in str(caught.value)
    assert path.read_bytes() == kept


def test_each_launch_has_a_file_of_its_own(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    paths = {launch_config_path(environment, 30000) for _ in range(3)}
    assert len(paths) == 3 and config_path(environment, 30000) not in paths
    assert {path.parent for path in paths} == {config_path(environment, 30000).parent}


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        write_config(tmp_path / "file" / "config.yaml", SecretStr(KEY))
    assert "XDG_STATE_HOME" in str(caught.value) and KEY not in str(caught.value)
    assert "Errno" not in str(caught.value)


def test_places(tmp_path: Path) -> None:
    state = config_path({"HOME": str(tmp_path)}, 1).parent
    assert state == tmp_path / ".local/state/gemma4ctl"
    assert config_path({"HOME": str(tmp_path), "XDG_STATE_HOME": "relative"}, 1).parent == state
