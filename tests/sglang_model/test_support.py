from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gemma4ctl.profiles.load import load
from gemma4ctl.sglang_model import support


@pytest.mark.parametrize("release", ["0.5.16", "0.5.16+cu130"])
def test_tested_releases(release: str) -> None:
    assert support.release_problem(release) is None


@pytest.mark.parametrize("release", ["0.5.15", "0.5.23", "0.5.160", "0.0.0.dev0", ""])
def test_other_releases(release: str) -> None:
    assert (
        support.release_problem(release) == f"the module is made for SGLang 0.5.16, not {release}"
    )


def test_gpus() -> None:
    assert support.gpu_problem("sm_90") is None
    assert support.gpu_problem("gfx942") == "the kernels are made for sm_90, not gfx942"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, None),
        ({"pp_size": 1, "enable_lora": None, "cpu_offload_gb": 0, "forward_hooks": []}, None),
        ({"pp_size": 2}, "pipeline parallelism"),
        ({"enable_dp_attention": True}, "DP attention"),
        ({"enable_lora": True}, "LoRA"),
        ({"enable_torch_compile": True}, "--enable-torch-compile"),
        ({"enable_deterministic_inference": True}, "deterministic inference"),
        ({"cpu_offload_gb": 8}, "weights offloaded to the CPU"),
        ({"offload_group_size": 2}, "weights offloaded to the CPU"),
        ({"forward_hooks": [{}]}, "--forward-hooks"),
        ({"dcp_size": 2}, "decode context parallelism"),
    ],
)
def test_servers_that_keep_sglangs_layers(values: dict[str, Any], reason: str | None) -> None:
    assert support.kernels_problem(SimpleNamespace(**values)) == reason


def test_architecture() -> None:
    assert support.architecture(["Gemma4ForCausalLM"]) == "Gemma4ForCausalLM"
    assert support.architecture(["Gemma4AssistantForCausalLM"]) is None
    assert support.architecture(None) is None


RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "kernels"
NEVER_BELOW = {"tpot-c1": 1.0, "output-throughput-c100": 0.99}  # fused over stock


def documents(pattern: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in RESULTS.glob(pattern)]


def key(document: dict[str, Any], variant: str) -> tuple[str, str, str]:
    """Release, architecture and variant of a result."""
    platforms = load().platforms.values()
    (found,) = (row.architecture for row in platforms if row.title == document["gpu"])
    return document["sglang_version"], found, variant


def faster() -> set[tuple[str, str, str]]:
    """What has a time per token, and no figure of speed below its bound."""
    speeds = [row for row in documents("*.json") if row.get("metric") in NEVER_BELOW]
    assert all(row["fused_kernels_active"] for row in speeds)
    timed = {key(row, row["variant"]) for row in speeds if row["metric"] == "tpot-c1"}
    slow = {key(row, row["variant"]) for row in speeds if row["ratio"] < NEVER_BELOW[row["metric"]]}
    return timed - slow


def right() -> set[tuple[str, str, str]]:
    """What answered as stock does, where the controls were refused."""
    return {
        key(document, case["variant"])
        for document in documents("answers-*.json")
        for case in document["cases"]
        if document["passed"] and case["passed"] and case["case"] == case["variant"]
    }


def test_auto_may_use_what_was_measured_to_be_right_and_faster() -> None:
    assert faster() & right() == support.MEASURED


def prefills_from_graphs(server: dict[str, Any]) -> bool:
    return bool(server["right"] and server["prefills"]["from_graphs"] >= 40)


def first_tokens(name: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The results of a measure of prefill, one request at a time."""
    return {
        key(row, row["variant"]): row
        for row in documents("*.json") if row.get("metric") == f"ttft-{name}"
    }  # fmt: skip


def padded_for_nothing(variant: tuple[str, str, str]) -> bool:
    """Whether the fewest tokens of the largest graph may take longer than without graphs.

    Measured, or they take no longer than stock with much fewer: both wait for launches.
    """
    if variant in (padded := first_tokens("padded")):
        return bool(padded[variant]["ratio"] < 0.97)
    largest = support.prefill_graph_sizes(variant[2])[-1]
    fewer, most = (first_tokens(name).get(variant) for name in ("p610", f"p{largest}"))
    return not (fewer and most and most["fused"] <= fewer["stock"])


def test_prefill_from_graphs_is_planned_where_it_is_right_and_faster() -> None:
    short = {found for found, row in first_tokens("p64").items() if row["ratio"] > 1}
    same = {
        key(document, case["variant"])
        for document in documents("prefill-graphs-answers-*.json")
        for case in document["cases"]
        if case["passed"] and all(map(prefills_from_graphs, case["servers"]))
    }
    faster = {found for found in short if not padded_for_nothing(found)}
    assert faster & same == support.PREFILL_GRAPHS_MEASURED


def test_sizes_of_the_graphs() -> None:
    assert support.prefill_graph_sizes("E2B")[-1] == 2048
    assert support.prefill_graph_sizes("31B") == (16, 32, 64, 128, 256, 384)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, None),
        ({"speculative_algorithm": "FROZEN_KV_MTP"}, "speculative decoding"),
        ({"enable_memory_saver": True}, "--enable-memory-saver"),
        ({"moe_a2a_backend": "none", "attn_cp_size": 1}, None),
    ],
)
def test_servers_that_prefill_without_graphs(values: dict[str, Any], reason: str | None) -> None:
    assert support.prefill_graphs_problem(SimpleNamespace(**values)) == reason


def test_controls_were_refused() -> None:
    """By every comparison: what passes says something."""
    refused = [
        found["passed"]
        for document in documents("answers-*.json")
        for case in document["cases"]
        for server in case["servers"] if server["contender"].startswith("broken")
        for found in server["comparisons"].values()
    ]  # fmt: skip
    assert len(refused) >= 9 and not any(refused)
