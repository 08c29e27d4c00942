from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

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
