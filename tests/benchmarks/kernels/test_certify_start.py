"""The script that certifies random weights; gemma4ctl's commands are stand-ins."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FLAGS = ["--", "--grammar-backend", "none"]


@pytest.fixture
def certify(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = script("certify_start")
    monkeypatch.setattr(found, "gpu_names", lambda: ["NVIDIA H200"])
    return found


@pytest.mark.parametrize("status", [0, 4])
def test_plans_before_and_after_are_recorded(
    certify: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    asked: list[list[str]] = []

    def run(words: list[str], out: Path) -> tuple[int, Any]:
        asked.append(words)
        if words[0] == "verify":
            return status, {"fused_seconds": 0.002, "model_path": words[3]}
        used = "stock" if status or len(asked) == 1 else "fused"
        return 0, {"decisions": [{"name": "kernels", "value": used}, {"name": "tp", "value": 1}]}

    monkeypatch.setattr(certify, "run", run)
    weights = tmp_path / "certify-E2B" / "E2B-it"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").touch()
    monkeypatch.setattr(certify.sys, "argv", ["script", "MODELS", str(tmp_path), *FLAGS])
    with pytest.raises(SystemExit) as ended:
        certify.main()
    assert ended.value.code == status
    assert [words[0] for words in asked] == ["suggest", "verify", "suggest"]
    assert all(words[-3:] == FLAGS for words in asked)
    record = json.loads((tmp_path / "certify-E2B.json").read_text())
    assert record["plan_before"] == {"kernels": "stock"}
    assert record["plan_after"] == {"kernels": "stock" if status else "fused"}
    assert record["receipt"]["model_path"] == "/redacted/E2B-it"


def test_the_checkpoint_has_the_models_tensors(certify: ModuleType, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers", "5.12")
    safetensors = pytest.importorskip("safetensors.torch")
    from tests.sglang_model import checkpoints

    published, made = tmp_path / "published", tmp_path / "made"
    checkpoints.save("E2B", published)
    (published / "model.safetensors").unlink()
    (published / "tokenizer.json").write_text("{}")
    made.mkdir()
    certify.write_checkpoint(published, made)
    tensors = safetensors.load_file(made / "model.safetensors")
    norm = tensors["model.language_model.layers.0.input_layernorm.weight"]
    assert norm.dtype == torch.bfloat16 and 0.8 < norm.float().mean() < 1.2 and norm.std() > 0
    bounds = [tensor for name, tensor in tensors.items() if name.endswith("input_max")]
    assert all(tensor.isinf().all() for tensor in bounds)
    assert (made / "config.json").read_text() == (published / "config.json").read_text()
    assert (made / "tokenizer.json").exists()


def test_gemma4ctl_is_found_by_sglangs_python(
    certify: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also from a checkout that is not installed: ``verify --kernels`` asks for its metadata."""
    servers = importlib.import_module("servers")
    monkeypatch.setattr(servers.metadata, "entry_points", lambda group: [])  # nothing is installed
    code = """import json; from importlib.metadata import version
print(json.dumps({"found": version("gemma4ctl")}))"""
    monkeypatch.setattr(certify, "CLI", [sys.executable, "-c", code])
    found = certify.run([], tmp_path)
    assert found == (0, {"found": servers.__version__})
    assert list(tmp_path.glob("plugin/gemma4ctl-*.dist-info"))
