from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gemma4ctl.errors import PreflightError
from gemma4ctl.tuning.lock import held
from tests.waiting import PATIENCE_S


def test_one_search_at_a_time(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        held(tmp_path / "a" / "lock", said.append),
        pytest.raises(PreflightError, match="another search is running"),
        held(tmp_path / "a" / "lock", said.append, patience_s=0.3),
    ):
        pass
    assert said == ["waiting for an earlier search and its server to end"]
    with held(tmp_path / "a" / "lock", said.append, patience_s=0):
        pass


def test_it_is_held_as_long_as_a_child_has_it(tmp_path: Path) -> None:
    code = "import sys; sys.stdin.read()"
    with held(tmp_path / "lock", print) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    with pytest.raises(PreflightError), held(tmp_path / "lock", print, patience_s=0):
        pass
    assert child.stdin is not None
    threading.Timer(0.3, child.stdin.close).start()
    with held(tmp_path / "lock", print) as lock:
        os.fstat(lock)
    assert child.wait(PATIENCE_S) == 0
