"""The script that starts SGLang as a container would, on a constructed SGLang."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.ports import free_port

FLAGS = ("--", "--load-format", "dummy")
CONFIGURATION = {
    "architectures": ["Gemma4ForConditionalGeneration"],
    "text_config": {"hidden_size": 1536, "num_hidden_layers": 35},  # E2B
}


@pytest.fixture
def container(
    script: Callable[[str], ModuleType],
    machine: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> ModuleType:
    """The script on one simulated H200."""
    found = script("container_start")
    hardware = partial(found.service, options=("--hardware", "H200"))
    monkeypatch.setattr(found, "service", hardware)
    return found


def run(container: ModuleType, tmp_path: Path) -> tuple[int, dict[str, Any]]:
    model = tmp_path / "models" / "E2B-it"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps(CONFIGURATION))
    words = [str(tmp_path / "models"), str(tmp_path / "out"), "--port", str(free_port()), *FLAGS]
    status: int = container.main(words)
    return status, json.loads((tmp_path / "out" / "container-E2B.json").read_text())


def test_the_module_comes_from_the_mounts_alone(
    container: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the mounts, that is where it is not installed, which it is for these tests."""
    look = container.Image.found

    def found(self: Any, path: str) -> str:
        return look(self, path) if str(self.root) in path else ""

    monkeypatch.setattr(container.Image, "found", found)
    status, record = run(container, tmp_path)
    assert (status, record["passed"]) == (0, True)
    package, info = record["mounts"]
    assert package == "gemma4ctl" and info.endswith(".dist-info")
    assert record["environment"]["GEMMA4CTL_SGLANG_KERNELS"] == "fused"
    assert record["command"][:2] == ["sglang", "serve"]
    host = record["command"].index("--host")
    assert record["command"][host + 1] == "127.0.0.1"
    assert "/redacted/E2B-it" in record["command"]  # where it is here, not in the container
    assert any("kernels: fused" in line for line in record["announced"])
    copied = tmp_path / "out" / "container-E2B" / "root" / "opt" / "gemma4ctl" / "gemma4ctl"
    assert (copied / "sglang_model" / "plugin.py").is_file()


def test_a_module_that_is_installed_anyway_proves_nothing(
    container: ModuleType, tmp_path: Path
) -> None:
    status, record = run(container, tmp_path)
    assert (status, record["passed"]) == (1, False)
    assert record["found_in_the_mounts"] and record["found_without_them"]


def test_a_server_that_ends_is_no_pass(
    container: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(container.Image, "argv", lambda self, port: ["false"])
    status, record = run(container, tmp_path)
    assert (status, record["answered"], record["seconds_to_ready"]) == (1, False, None)


def test_a_checkpoint_that_is_not_there(
    container: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """gemma4ctl says why, with its own status."""
    with pytest.raises(SystemExit) as ended:
        container.main([str(tmp_path / "models"), str(tmp_path / "out"), *FLAGS])
    assert ended.value.code == 2
    assert "there is no folder" in capfd.readouterr().err
