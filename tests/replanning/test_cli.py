"""``gemma4ctl replan``: from a running server, saved metrics and a log of requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from gemma4ctl.cli.app import app
from gemma4ctl.hardware import detect as detection
from gemma4ctl.hardware.files import read_inventory
from gemma4ctl.replanning import live
from tests.endpoint.server import fixed, serving
from tools.schemas import PACKAGE

from .seen import exposition

SCHEMA = PACKAGE / "replanning/replan.schema.json"
CAPTURED = Path(__file__).parents[1] / "hardware/fixtures/captured/h200-inventory.json"
METRICS = exposition(
    requests=20, prompts=(0, 0, 0, 20, 20), steps=(100, 900, 1000, 1000), decoded=4000
)
LOG = {"input_tokens": 32_000, "output_tokens": 500, "latency_s": 100.0, "ttft_s": 80.0}

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GEMMA4CTL_API_KEY", raising=False)

    def call(*words: str) -> Any:
        result = CliRunner().invoke(app, ["replan", *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({**LOG, "arrival_s": 10.0 * n, "step_s": 0.03}) for n in range(30)]
    path.write_text("\n".join(lines))
    return path


HERE = ("--model", "31B", "--hardware", "H200", "--tp-size", "1")


def document_of(result: Any) -> Any:
    """What was printed with ``--json``, which follows its schema."""
    document = json.loads(result.stdout)
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return document


def test_a_log(run: Run, log: Path) -> None:
    result = run(*HERE, "--requests", str(log))
    assert result.exit_code == 0
    assert "limit     full pool" in result.stdout
    assert "--swa-full-tokens-ratio" in result.stdout
    assert "sglang serve" in result.stdout


def test_a_log_without_times(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps({"input_tokens": 32_000, "output_tokens": 500}))
    result = run(*HERE, "--requests", str(path), "--concurrency", "24", "--json")
    document = document_of(result)
    assert document["gain"]["running_after"] > document["gain"]["running_before"]
    assert document["gain"]["ratio"] is None


def test_a_host_without_pools_to_predict(run: Run, log: Path) -> None:
    result = run("--model", "E2B", "--hardware", "Xeon", "--requests", str(log), "--json")
    document = document_of(result)
    assert document["before"]["full_layer_tokens"] is None and document["gain"] is None


def test_saved_metrics(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    path.write_text(METRICS)
    result = run(*HERE, "--metrics", str(path))
    assert "limit     sliding pool 96%, full pool 31%, 2.0 running, 10.0 waiting" in result.stdout
    assert "note      lengths and counts are those since the server started" in result.stdout


SERVER_INFO = {
    "version": "0.5.16",
    "tp_size": 1,
    "mem_fraction_static": 0.85,
    "swa_full_tokens_ratio": 0.8,
    "max_running_requests": 2048,
    "chunked_prefill_size": 8192,
    "speculative_algorithm": None,
}


def served(model_path: str, **arguments: Any) -> dict[str, Any]:
    info = {"model_path": model_path, "architectures": ["Gemma4ForConditionalGeneration"]}
    return {
        "/metrics": fixed(METRICS.encode()),
        "/model_info": fixed(json.dumps(info).encode()),
        "/server_info": fixed(json.dumps(SERVER_INFO | arguments).encode()),
        "/v1/models": fixed(b'{"data": []}'),
    }


@pytest.fixture
def busy_h200(monkeypatch: pytest.MonkeyPatch) -> None:
    """The captured H200, with the memory that its server holds taken."""
    inventory = read_inventory(CAPTURED)
    (device,) = inventory.devices
    busy = device.model_copy(update={"memory_free_mib": 9_000})
    found = inventory.model_copy(update={"devices": (busy,)})
    monkeypatch.setattr(detection, "detect", lambda *_: found)
    monkeypatch.setattr(live, "INTERVAL_S", 0.01)


@pytest.mark.usefixtures("busy_h200")
def test_a_running_server(run: Run) -> None:
    with serving(served("google/gemma-4-31B-it")) as url:
        result = run("--url", url, "--seconds", "1", "--json")
    document = document_of(result)
    assert document["limit"]["name"] == "sliding pool"
    assert document["observed"]["most_running"] == 2048
    assert document["after"]["full_layer_tokens"] > 3 * document["before"]["full_layer_tokens"]
    assert "google/gemma-4-31B-it" in document["command"]["argv"]


def test_data_parallel_servers_stay(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two H200s with a server each: both have their cap and their pools."""
    inventory = read_inventory(CAPTURED)
    (device,) = inventory.devices
    both = (device, device.model_copy(update={"index": 1}))
    found = inventory.model_copy(update={"devices": both})
    monkeypatch.setattr(detection, "detect", lambda *_: found)
    monkeypatch.setattr(live, "INTERVAL_S", 0.01)
    model = "google/gemma-4-31B-it"
    documents = []
    for size in (1, 2):
        with serving(served(model, dp_size=size, max_running_requests=48)) as url:
            documents.append(document_of(run("--url", url, "--seconds", "1", "--json")))
    one, two = documents
    assert (one["observed"]["most_running"], two["observed"]["most_running"]) == (48, 96)
    assert two["before"]["requests"] == 2 * one["before"]["requests"]
    assert "--dp-size 2" in two["command"]["shell"] and "--dp-size" not in one["command"]["shell"]


@pytest.mark.usefixtures("busy_h200")
def test_a_server_of_who_knows_what(run: Run) -> None:
    with serving(served("somebody/a-model")) as url:
        result = run("--url", url, "--seconds", "1")
    assert result.exit_code == 2 and "which Gemma 4 variant" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--url", "http://192.0.2.1:1"), "another machine"),
        (("--metrics", "a", "--requests", "b"), "exclude each other"),
        ((*HERE, "--metrics", "missing"), "cannot be read"),
        ((*HERE, "--requests", "missing"), "no log of requests"),
    ],
)
def test_usage(run: Run, words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
