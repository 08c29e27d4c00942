"""Ways to run the command line: in this process, as a process of its own, and on recorded hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4ctl.cli.app import app
from gemma4ctl.profiles.load import load
from tests.ports import free_port
from tests.waiting import PATIENCE_S

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAKE_SERVER = ROOT / "tests" / "launch" / "fake_sglang.py"


@dataclass
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def refused(self, code: int, *texts: str) -> None:
        """Check a documented failure: its status, nothing on stdout, one screen on stderr."""
        assert (self.code, self.out) == (code, ""), (self.out, self.err)
        assert 1 <= len(self.err.splitlines()) <= 24, self.err
        assert "Traceback" not in self.err
        for text in texts:
            assert text in self.err


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and home, and no settings of whoever runs the tests."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in [name for name in os.environ if name.startswith(("GEMMA4CTL_", "HF_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    return work


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Runs a command in this process."""

    def run(*words: str) -> Result:
        result = CliRunner().invoke(app, list(words))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def process() -> Callable[..., Result]:
    """Runs a command as a process of its own, as ``python -m gemma4ctl``."""

    def run(*words: str, **options: Any) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "gemma4ctl", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            **options,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def on_host(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command as a process on a recorded host; what is left of it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(fixture: str, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "on_host.py"), fixture, *words],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake ``sglang`` 0.5.16 and ``docker`` first on PATH; returns their folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = (HERE / "fake_sglang.py").read_text().partition("\n")[2]
    for name in ("sglang", "docker"):
        (folder / name).write_text(f"#!{sys.executable}\n{script}")
        (folder / name).chmod(0o755)
    for name, version in (("sglang", "0.5.16"), ("transformers", "5.12.1")):
        metadata = tmp_path / "packages" / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setenv("FAKE_SERVER", str(FAKE_SERVER))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the ``config.json`` of E2B and no weights."""
    variant = load().variants["E2B"]
    layers = variant.layers.sliding + variant.layers.full
    text = {"hidden_size": variant.hidden_size, "num_hidden_layers": layers}
    config = {"architectures": [variant.architecture], "model_type": "gemma4", "text_config": text}
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def port() -> int:
    return free_port()
