"""The loads and plans of the tuning tests, and a host to run ``tune`` on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4ctl.bench.workload import Workload
from gemma4ctl.cli.app import app
from gemma4ctl.hardware import detect as detection
from gemma4ctl.hardware.files import read_inventory
from gemma4ctl.profiles.load import load as load_profiles
from gemma4ctl.tuning import server
from gemma4ctl.tuning.judge import Judge
from tests.planning.hosts import node, table
from tests.ports import free_port

HERE = Path(__file__).parent
CAPTURED = HERE.parent / "hardware" / "fixtures" / "captured" / "h200-inventory.json"


def workload(**fields: Any) -> Workload:
    """A load of 1,024 tokens in and 256 out, one at a time unless told."""
    usual = {"name": "test", "input_tokens": 1024, "output_tokens": 256, "range_ratio": 1.0}
    return Workload(**{**usual, "requests": 8, "concurrency": 1, **fields})


def judged(load: Workload, platform: str = "H200", /, **request: Any) -> Judge:
    """A judge of plans on one GPU of a simulated host."""
    from gemma4ctl.planning.request import Request

    asked = Request(**{"model": "E2B", "hardware": platform, **request})
    return Judge(asked, node(platform, 1), table(), load)


class Host:
    """The captured H200 with a fake ``sglang``, in folders of its own."""

    def __init__(self, tmp_path: Path, port: int) -> None:
        self.home, self.port = tmp_path / "home", port
        self.pids_file = tmp_path / "pids"
        self.work = tmp_path / "work"
        self.model = tmp_path / "model"
        for folder in (self.home, self.work, self.model):
            folder.mkdir()
        variant = load_profiles().variants["E2B"]
        layers = variant.layers.sliding + variant.layers.full
        text = {"hidden_size": variant.hidden_size, "num_hidden_layers": layers}
        config = {"architectures": [variant.architecture], "model_type": "gemma4"}
        (self.model / "config.json").write_text(json.dumps({**config, "text_config": text}))
        self._install(tmp_path)

    def _install(self, tmp_path: Path) -> None:
        program = tmp_path / "bin" / "sglang"
        program.parent.mkdir()
        script = (HERE / "fake_sglang.py").read_text().partition("\n")[2]
        program.write_text(f"#!{sys.executable}\n{script}")
        program.chmod(0o755)
        for name, version in (("sglang", "0.5.16"), ("transformers", "5.12.1")):
            metadata = tmp_path / "packages" / f"{name}-{version}.dist-info" / "METADATA"
            metadata.parent.mkdir(parents=True)
            metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GEMMA4CTL_", "XDG_"))}
        self.environment = {
            **kept,
            "HOME": str(self.home),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(tmp_path / "packages"),
            "FAKE_PIDS": str(self.pids_file),
            "FAKE_TOKEN_MS": "2",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start ``gemma4ctl`` with ``words`` as a process."""
        return subprocess.Popen(
            [sys.executable, str(HERE / "on_h200.py"), *words],
            env=self.environment,
            cwd=self.work,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def search(self, *words: str) -> tuple[str, ...]:
        """The words of a search for a lower time per token: 8 tokens in, 12 out, 2 at a time."""
        return (
            *("tune", "--model-path", str(self.model), "--runtime", "local", "--metric", "tpot"),
            *("--input-tokens", "8", "--output-tokens", "12", "--concurrency", "2"),
            *("--requests", "2", "--repeats", "1", "--port", str(self.port), *words),
            *("--", "--load-format", "dummy"),
        )

    def tune(self, *words: str) -> subprocess.Popen[str]:
        """Start :meth:`search` as a process."""
        return self.start(*self.search(*words))

    def run(self, *words: str) -> Any:
        """Run ``gemma4ctl`` with ``words`` in this process, on the captured H200."""
        inventory = read_inventory(CAPTURED)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(detection, "detect", lambda *_: inventory)
            patch.setattr(server, "PROGRAM", (sys.executable, str(HERE / "on_h200.py")))
            patch.chdir(self.work)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(app, list(words))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    @property
    def servers(self) -> list[int]:
        """The process ids of all servers that were ever started."""
        return [int(pid) for pid in self.pids_file.read_text().split()] if self.started else []

    @property
    def started(self) -> bool:
        """Whether a server was started."""
        return self.pids_file.is_file()

    @property
    def folder(self) -> Path:
        """The folder of the newest search."""
        found = (self.home / ".local/state/gemma4ctl/tune").glob("*/question.json")
        return max(found, key=lambda path: path.stat().st_mtime).parent

    @property
    def left(self) -> list[int]:
        """The servers that are still there."""
        return [pid for pid in self.servers if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host for ``tune``; no server of it outlives the test."""
    made = Host(tmp_path, free_port())
    yield made
    for pid in made.left:
        os.kill(pid, signal.SIGKILL)
