"""The GPU scripts as modules, and a machine with a fake ``sglang`` and ``nvidia-smi`` to run on."""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[3] / "benchmarks" / "kernels"
SMI = "#!/bin/sh\necho '0, NVIDIA H200, 580.159.04, 143771, 143000'\n"
SGLANG = f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_sglang.py")} "$@"\n'


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """A script by its name; they import each other from their folder."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(SCRIPTS)):
            del sys.modules[name]


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[str], ModuleType]
) -> Callable[..., list[str]]:
    """The words of a ``run`` on one simulated H200; its records go to ``tmp_path/"out"``."""
    for name, text in (("nvidia-smi", SMI), ("sglang", SGLANG)):
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(script("servers"), "RELEASE_S", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def words(*more: str, flags: tuple[str, ...] = ()) -> list[str]:
        folders = [str(tmp_path / "models"), str(tmp_path / "out")]
        own = ["--logs", str(tmp_path / "logs"), "--port", str(port)]
        return ["run", *folders, *own, *more, "--", *flags]

    return words
