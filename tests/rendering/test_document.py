from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gemma4ctl.rendering import schema
from gemma4ctl.rendering.document import plan_document

from .plans import HOST, PLANS, STAGES, make, splits

SCHEMA = json.loads(schema.SCHEMA_FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PLANS)
def test_valid_by_the_committed_schema(name: str) -> None:
    document = json.loads(json.dumps(plan_document(PLANS[name], HOST)))
    Draft202012Validator(SCHEMA).validate(document)


def test_keys_of_the_contract() -> None:
    document = plan_document(PLANS["h200-26b-mtp-tp2"], HOST)
    assert list(document) == [
        "schema_version",
        "gemma4ctl_version",
        "request",
        "hardware",
        "variant",
        "command",
        "docker",
        "decisions",
        "capacity",
        "warnings",
    ]
    assert document["hardware"] == {
        "platform": "H200",
        "vendor": "nvidia",
        "gpu_count": 2,
        "memory_mib": 143771,
        "source": "nvml",
    }
    assert document["variant"] == {
        "name": "26B-A4B",
        "model_path": "google/gemma-4-26B-A4B-it",
        "checkpoint": "bf16",
    }
    assert {"argv", "env", "shell"} == document["command"].keys()
    assert {"argv", "image"} == document["docker"].keys()
    tensor_parallel = document["decisions"][1]
    assert tensor_parallel["name"] == "tensor_parallel_size"
    assert tensor_parallel["value"] == 2
    assert tensor_parallel["flag"] == "--tp-size"
    assert {"rule", "reason", "source", "status", "origin", "env"} < tensor_parallel.keys()
    assert document["capacity"] == {
        "weights_mib_per_gpu": 25610,
        "draft_mib_per_gpu": 800,
        "kv_bytes_per_token": 92160,
        "full_layer_tokens": 991232,
        "swa_layer_tokens": 792985,
        "max_concurrent_requests": 48,
        "max_context_tokens": 262144,
        "basis": "143259 MiB free, fraction 0.85, weights 25610 MiB",
        "load": "32,768 tokens",
        "splits": [split.model_dump() for split in splits(tuned=False)],
        "stages": STAGES.model_dump(),
    }
    assert list(document["capacity"]["splits"][0]) == [
        "title",
        "swa_full_tokens_ratio",
        "full_layer_tokens",
        "swa_layer_tokens",
        "requests",
        "limit",
    ]
    assert document["warnings"] == [
        {
            "code": "mtp-max-running",
            "severity": "perf",
            "message": "MTP caps running requests at 48.",
            "remedy": "--concurrency 96, or --no-mtp for throughput",
        }
    ]


def test_null_where_there_is_no_image_or_no_memory_model() -> None:
    document = plan_document(make(image=None, capacity=False), HOST)
    assert document["docker"] is None
    assert document["capacity"] is None


def test_committed_schema_is_current() -> None:
    assert schema.SCHEMA_FILE.read_text(encoding="utf-8") == schema.schema_text()


def test_schema_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.schema.json"
    assert schema.main(["--check"], file) == 4
    assert "is stale" in capsys.readouterr().err
    assert schema.main([], file) == 0
    assert schema.main(["--check"], file) == 0


def test_schema_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "gemma4ctl.rendering.schema", "--check"])
    assert done.returncode == 0


def test_json_path_imports_no_heavy_library() -> None:
    code = (
        "import sys; import gemma4ctl.rendering.document, gemma4ctl.rendering.compose, "
        "gemma4ctl.rendering.planfile, gemma4ctl.rendering.shell; "
        "print([m for m in ('jinja2', 'rich', 'yaml', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
