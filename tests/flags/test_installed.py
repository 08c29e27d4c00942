"""The table of an installed SGLang, on constructed installations."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gemma4ctl.flags import installed
from gemma4ctl.flags.installed import UNVERSIONED, installed_table
from gemma4ctl.flags.table import load

from .extract.trees import FIELDS, write_tree


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sglang", raising=False)
    installed_table.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, root: Path, files: dict[str, str]) -> None:
    """Puts ``files`` and a package that must not be imported into an import folder."""
    write_tree(root, {"sglang/__init__.py": "raise RuntimeError('imported')", **files})
    monkeypatch.syspath_prepend(str(root))


def metadata_of(release: str) -> dict[str, str]:
    text = f"Metadata-Version: 2.1\nName: sglang\nVersion: {release}\n"
    return {f"sglang-{release}.dist-info/METADATA": text}


def test_the_installed_source_is_read_and_not_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, {**FIELDS, **metadata_of("0.5.24.dev1")})
    table = installed_table()
    assert table is not None
    assert (table.release, table.exact, table.wheel) == ("0.5.24.dev1", True, None)
    assert table.find("--gemm-backend") is not None
    assert "sglang" not in sys.modules


def test_a_checkout_without_metadata_is_read_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, FIELDS)
    table = installed_table()
    assert table is not None and table.release == UNVERSIONED


@pytest.mark.parametrize(
    "text", ["class Renamed: pass", "class ServerArgs(", "\0", "class ServerArgs: pass"]
)
def test_a_source_that_cannot_be_read_gets_the_table_of_its_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    files = {"sglang/srt/server_args.py": text, **metadata_of("0.5.16")}
    install(monkeypatch, tmp_path, files)
    assert installed_table() == load("0.5.16")


def test_another_package_of_that_name_is_not_sglang(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, {})
    assert installed_table() is None


def test_no_sglang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    assert installed_table() is None
