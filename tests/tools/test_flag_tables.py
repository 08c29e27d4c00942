"""The generator of the flag tables, on a constructed wheel."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gemma4ctl.flags import history, table

ROOT = Path(__file__).parents[2]
SOURCE = """
class ServerArgs:
    def add_cli_args(parser):
        parser.add_argument("--model-path", required=True, help="never in a table")
        parser.add_argument("--tp-size", type=int, default=1)
"""


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flag_tables", ROOT / "tools" / "flag_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool: Any = load_tool()


def make_wheel(folder: Path, release: str, source: str = SOURCE) -> Path:
    wheel = folder / f"sglang-{release}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(zipfile.ZipInfo("sglang/srt/server_args.py"), source)
    return wheel


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the wheels 1.9 and 1.10, and an empty place for the tables."""
    monkeypatch.setattr(table, "TABLES", tmp_path / "tables")
    monkeypatch.setattr(history, "FILE", tmp_path / "history.json")
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "1.9")
    make_wheel(folder, "1.10", SOURCE.replace("tp-size", "tensor-size"))
    return folder


def run(wheels: Path, *words: str) -> int:
    status: int = tool.main(["--wheels", str(wheels), *words])
    return status


def test_add_writes_tables_and_history(wheels: Path) -> None:
    assert run(wheels, "add", "1.9", "1.10") == 0
    text = (table.TABLES / "1.9.json").read_text()
    assert '"wheel": "sglang-1.9-py3-none-any.whl"' in text
    assert '{"options":["--tp-size"],"type":"int","default":1}' in text
    assert "never in a table" not in text
    assert history.FILE.read_text().splitlines()[1:-1] == [
        '"--model-path": ["1.9", "1.10"],',
        '"--tensor-size": ["1.10", "1.10"],',
        '"--tp-size": ["1.9", "1.9"]',
    ]


def test_update_is_reproducible(wheels: Path) -> None:
    run(wheels, "add", "1.9", "1.10")
    before = {file: file.read_bytes() for file in table.TABLES.iterdir()}
    assert run(wheels, "update") == 0
    assert {file: file.read_bytes() for file in table.TABLES.iterdir()} == before


def test_check_passes_on_what_was_generated(
    wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(wheels, "add", "1.9", "1.10")
    assert run(wheels, "check") == 0
    assert "2 tables are up to date" in capsys.readouterr().out


def rewrite(release: str, old: str, new: str) -> None:
    file = table.TABLES / f"{release}.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"release": "1.9"', '"release": "1.8"', "is the table of 1.8"),
        ('"type":"int",', '"type": "int",', "not in the form"),
        ('"sha256": "', '"sha256": "x', "SHA-256 missing"),
        ('"--model-path"', '"--zzz"', "not sorted"),
        ('"--tp-size"', '"--tq-size"', "history.json: stale"),
    ],
)
def test_offline_check_finds_damage(
    wheels: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    run(wheels, "add", "1.9")
    rewrite("1.9", old, new)
    assert run(wheels / "none", "check", "--offline") == 4
    assert said in capsys.readouterr().err


def test_check_finds_a_stale_table(wheels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(wheels, "add", "1.9")
    rewrite("1.9", '"default":1', '"default":2')
    assert run(wheels, "check", "--offline") == 0
    assert run(wheels, "check") == 4
    assert "1.9.json: stale (--tp-size)" in capsys.readouterr().err


def test_check_finds_another_wheel(wheels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(wheels, "add", "1.9")
    make_wheel(wheels, "1.9", SOURCE + "# changed\n")
    assert run(wheels, "check") == 4
    assert "1.9.json: made from another wheel" in capsys.readouterr().err


def test_a_missing_wheel_is_downloaded(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert command[-1] == "sglang==2.0"
        make_wheel(Path(command[command.index("--dest") + 1]), "2.0")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(tool.subprocess, "run", pip)
    assert run(wheels, "add", "2.0") == 0
    assert (table.TABLES / "2.0.json").exists()


def test_a_failed_download_says_why(
    wheels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: first\nERROR: no such version\n")

    monkeypatch.setattr(tool.subprocess, "run", pip)
    assert run(wheels, "add", "2.0") == 2
    said = capsys.readouterr().err
    assert "SGLang 2.0" in said and "no such version" in said


def test_wheels_are_kept_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert tool.default_wheels() == Path("/cache/gemma4ctl/wheels")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert tool.default_wheels().is_relative_to(Path.home())


def test_the_committed_tables_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["check", "--offline"]) == 0
    assert "16 tables" in capsys.readouterr().out
