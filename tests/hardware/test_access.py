from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gemma4ctl.hardware import access
from gemma4ctl.hardware.access import Access


def test_a_command_that_is_not_there_is_none() -> None:
    assert access.run_command(["gemma4ctl-no-such-tool"]) is None


def test_a_command_that_hangs_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "COMMAND_TIMEOUT_S", 0.05)
    assert access.run_command([sys.executable, "-c", "import time; time.sleep(9)"]) is None


def test_a_command_that_fails_keeps_its_words() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = access.run_command([sys.executable, "-c", code])
    assert done is not None and done.status == 3
    assert done.text == "out\n\nerr\n"


def test_a_library_is_taken_from_the_folder_first(tmp_path: Path) -> None:
    (tmp_path / "g4c_only_here.py").write_text("answer = 42")
    assert access.load_library("g4c_only_here", tmp_path).answer == 42
    assert str(tmp_path) not in sys.path
    with pytest.raises(ModuleNotFoundError):
        access.load_library("g4c_nowhere", tmp_path / "missing")


def test_nothing_reaches_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    with access.quiet_stdout():
        print("from python")
        os.write(1, b"from C\n")
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_a_closed_standard_output_is_no_trouble() -> None:
    code = (
        "import os; os.close(1)\n"
        "from gemma4ctl.hardware.access import quiet_stdout\n"
        "with quiet_stdout(): pass\n"
    )
    for close in ("", "import sys; sys.stdout = None; "):  # Python started with `>&-` has none
        subprocess.run([sys.executable, "-c", close + code], check=True)


def test_unreadable_files_are_none(tmp_path: Path) -> None:
    reader = Access(root=tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b" \xff text \n")
    assert reader.read("/missing") is None and reader.read("/folder") is None
    assert reader.read("/file") == "\N{REPLACEMENT CHARACTER} text"


def test_package_versions() -> None:
    assert access.package_version("pytest") == pytest.__version__
    assert access.package_version("gemma4ctl-no-such-package") is None


def test_a_missing_amdsmi_library_keeps_stdout_clean(tmp_path: Path) -> None:
    """The real package prints to standard output and raises KeyError without its library."""
    code = (
        "from gemma4ctl.hardware.access import Access\n"
        "from gemma4ctl.hardware.amd import amdsmi\n"
        "print(len(amdsmi.read(Access()).gpus))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().isdigit()
