"""The recorded starts of benchmarks/results/starts: real SGLang on a real H200 (starts.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4ctl.cli.app import app
from gemma4ctl.rendering.command import with_flag_value

ROOT = Path(__file__).parents[2]
INVENTORY = ROOT / "tests" / "hardware" / "fixtures" / "captured" / "h200-inventory.json"
STARTS_FOLDER = ROOT / "benchmarks" / "results" / "starts"
STARTS = {path.stem: json.loads(path.read_text()) for path in sorted(STARTS_FOLDER.glob("*.json"))}

# What plans of variants without an audio tower got after these starts.
ADDED = ["--limit-mm-data-per-request", '{"audio": 0}']

records = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)


def replanned(start: dict[str, Any]) -> dict[str, Any]:
    """What `suggest` says today to the request of ``start``, on the host of the start."""
    words = start["command"]
    cut = words.index("--")
    wanted = ["--model", start["variant"], "--port", words[words.index("--port") + 1]]
    wanted += ["--mtp"] if "--mtp" in words else []
    wanted += ["--gpus", words[words.index("--gpus") + 1], "--hardware-file", str(INVENTORY)]
    found = CliRunner().invoke(app, ["suggest", *wanted, "--json", *words[cut:]])
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout)


def without_paths(argv: Sequence[str]) -> list[str]:
    """``argv`` with the executable and the folders of the models taken out."""
    arguments = with_flag_value(argv[1:], "MODEL", "--model-path")
    return with_flag_value(arguments, "DRAFT", "--speculative-draft-model-path")


def test_every_variant_was_started_and_one_with_mtp():
    assert {start["variant"] for start in STARTS.values()} == {
        "E2B",
        "E4B",
        "12B",
        "26B-A4B",
        "31B",
    }
    assert any("--mtp" in start["command"] for start in STARTS.values())


@records
def test_a_start_became_ready_answered_and_stopped_cleanly(start):
    assert (start["status"], start["ending"], start["exit_status"]) == ("ready", "stopped", 143)
    assert 0 < start["seconds_to_ready"] < 300
    assert sum(start["phase_seconds"].values()) <= start["seconds_to_ready"] + 1
    assert {kind: asked["http_status"] for kind, asked in start["requests"].items()} == {
        "chat": 200,
        "image": 200,
    }
    assert start["requests"]["image"]["usage"]["prompt_tokens_details"]["image_tokens"] > 0


@records
def test_a_start_says_where_it_was_made(start):
    assert (start["gpu"], start["gpu_count"], start["gpu_name"]) == ("H200", 1, "NVIDIA H200")
    assert start["sglang_version"] == start["packages"]["sglang"] == "0.5.16"
    assert start["driver"] and start["date"]
    assert (ROOT / start["log"]).is_file()


@records
def test_todays_plan_is_the_command_that_was_started(start):
    plan = replanned(start)
    assert plan["hardware"]["platform"] == start["gpu"]
    planned = without_paths(plan["command"]["argv"])
    if start["variant"] in ("26B-A4B", "31B"):
        at = planned.index(ADDED[0])
        assert planned[at : at + 2] == ADDED
        del planned[at : at + 2]
    assert planned == without_paths(start["argv"])
    assert plan["command"]["env"] == start["env"]


@records
def test_the_predicted_pools_are_those_reported(start):
    reported = start["reported"]
    for predicted in (start["predicted"], replanned(start)["capacity"]):
        for name in ("full_layer_tokens", "swa_layer_tokens"):
            assert predicted[name] == pytest.approx(reported[name], rel=0.05)
        weights = predicted["weights_mib_per_gpu"] / 1024
        assert weights == pytest.approx(reported["weights_gb"], rel=0.05)


@pytest.mark.parametrize(
    "path", sorted((STARTS_FOLDER / "H100").glob("*.json")), ids=lambda p: p.stem
)
def test_pools_on_an_h100(path):
    """Servers that other measurements started there (``script``): pools as predicted today."""
    start = json.loads(path.read_text())
    assert (start["status"], start["gpu"], start["gpu_count"]) == ("ready", "H100", 1)
    argv, wanted = start["argv"], ["--model", start["variant"], "--hardware", "H100", "--gpus", "1"]
    for flag in ("--mem-fraction-static", "--swa-full-tokens-ratio"):
        own = [flag, argv[argv.index(flag) + 1]] if flag in argv else []
        wanted += ["--", *own] if own and "--" not in wanted else own
    found = CliRunner().invoke(app, ["suggest", "--json", *wanted])
    assert found.exit_code == 0, found.stderr
    capacity = json.loads(found.stdout)["capacity"]
    for predicted in (start["predicted"], capacity):
        for name in ("full_layer_tokens", "swa_layer_tokens"):
            assert predicted[name] == pytest.approx(start["reported"][name], rel=0.002)
