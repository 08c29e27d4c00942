"""Notices when the bundled module is not active; log lines as its announcements word them."""

from __future__ import annotations

import logging

import pytest

from gemma4ctl.launch.logs import Reported, parse
from gemma4ctl.launch.model_module import SILENT, module_lines, module_notices
from gemma4ctl.launch.spec import LaunchSpec
from gemma4ctl.sglang_model import announce

ON = LaunchSpec(argv=("sglang",), fused=True, shared_kv=True)
GRAPHS = LaunchSpec(argv=("sglang",), prefill_graphs=True)


def test_an_active_module_is_shown_and_no_notice():
    reported = Reported(kernels="fused, X, 35 layers: a, b", kv_pools="shared, 15 of 35 layers")
    assert module_notices(ON, reported) == ()
    assert module_lines(reported) == [
        "  kernels:  fused, X, 35 layers: a, b",
        "  KV pools: shared, 15 of 35 layers",
    ]


def test_stock_is_said_with_the_reason():
    reported = Reported(kernels="stock, Gemma 4: LoRA: no", kv_pools="stock: LMCache")
    kernels, pools = module_notices(ON, reported)
    assert (kernels.code, pools.code) == ("kernels_not_active", "kv_pools_not_shared")
    assert kernels.message == "the fused kernels are not active: LoRA: no"
    assert pools.message == "layers that share KV have pools of their own: LMCache"
    assert "--kernels stock" in kernels.remedy
    assert module_lines(reported) == []


def test_parts_that_failed_are_said(caplog):
    with caplog.at_level(logging.INFO):
        announce.stock_part("X", "linears", ["linear 8x96: RuntimeError: no"])
        announce.fused("X", 35, ["norms"], ["linears", "experts"])
        announce.shared_kv(15, 35)
    reported = parse(record.getMessage() for record in caplog.records).reported
    (notice,) = module_notices(ON, reported)
    assert notice.code == "kernels_partly_active"
    assert notice.message == "some fused kernels failed their check: linears, experts"
    assert len(module_lines(reported)) == 2


def test_a_log_without_a_word_is_said():
    kernels, pools = module_notices(ON, Reported())
    assert kernels.message.endswith(SILENT)
    assert pools.message.endswith(SILENT)


def test_prefill_from_graphs_is_shown(caplog):
    with caplog.at_level(logging.INFO):
        announce.prefill_graphs([16, 64])
    reported = parse(record.getMessage() for record in caplog.records).reported
    assert module_notices(GRAPHS, reported) == ()
    assert module_lines(reported) == ["  prefill:  graphs of 16, 64 tokens"]


@pytest.mark.parametrize("left_out_by", ["module", "SGLang", "nobody"])
def test_prefill_without_graphs_is_said(left_out_by, caplog):
    with caplog.at_level(logging.INFO):
        if left_out_by == "module":
            announce.no_prefill_graphs("LoRA")
        elif left_out_by == "SGLang":
            announce.prefill_graphs([16, 64])
    lines = [record.getMessage() for record in caplog.records]
    if left_out_by == "SGLang":  # as cuda_graph_setup.py of 0.5.16 words it
        lines.append(
            "Disabling auto-selected prefill CUDA graph: only 3.21 GiB is free after model/KV/"
            "eager-buffer allocation; at least 4.00 GiB is required for capture."
        )
    reported = parse(lines).reported
    (notice,) = module_notices(GRAPHS, reported)
    why = {"module": "LoRA", "SGLang": "only 3.21 GiB is free", "nobody": SILENT}[left_out_by]
    assert notice.code == "prefill_graphs_not_active"
    assert notice.message == f"prefill runs without CUDA graphs: {why}"
    assert module_lines(reported) == []


def test_prefill_without_graphs_has_the_reason_of_stock_layers(caplog):
    """Where the package itself stops, no line about prefill is written."""
    with caplog.at_level(logging.INFO):
        announce.stock_kernels("Gemma 4", "ImportError: no triton")
    reported = parse(record.getMessage() for record in caplog.records).reported
    (notice,) = module_notices(GRAPHS, reported)
    assert notice.message == "prefill runs without CUDA graphs: ImportError: no triton"


def test_nothing_switched_on_is_nothing_to_confirm():
    assert module_notices(LaunchSpec(argv=("sglang",)), Reported(kernels="stock, X: y")) == ()


@pytest.mark.parametrize("fused", [True, False])
def test_the_modules_own_lines_are_understood(fused, caplog):
    """What the module writes is what the log parser reads."""
    with caplog.at_level(logging.INFO):
        if fused:
            announce.fused("Gemma4ForCausalLM", 35, ["norms", "attention"])
            announce.shared_kv(15, 35)
        else:
            announce.stock_kernels("Gemma4ForCausalLM", "LoRA")
            announce.stock_kv("LMCache")
        announce.uncharged_draft(4)
    reported = parse(record.getMessage() for record in caplog.records).reported
    codes = [notice.code for notice in module_notices(ON, reported)]
    assert codes == ([] if fused else ["kernels_not_active", "kv_pools_not_shared"])
    assert len(module_lines(reported)) == (2 if fused else 0)
