"""A machine with a fake ``sglang`` and ``nvidia-smi`` to run the GPU scripts on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.ports import free_port

SMI = "#!/bin/sh\necho '0, NVIDIA H200, 580.159.04, 143771, 143000'\n"
SGLANG = f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_sglang.py")} "$@"\n'


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
    monkeypatch.setattr(script("servers"), "STARTED", tmp_path / "started")
    port = free_port(following=len(script("servers").CONTENDERS) + 6)  # some are held back

    def words(*more: str, flags: tuple[str, ...] = ()) -> list[str]:
        folders = [str(tmp_path / "models"), str(tmp_path / "out")]
        own = ["--logs", str(tmp_path / "logs"), "--port", str(port)]
        return ["run", *folders, *own, *more, "--", *flags]

    return words
