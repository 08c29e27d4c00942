"""Whether a model is switched: every reason not to leaves it as SGLang built it, and is said."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import pytest

from gemma4ctl.sglang_model import adopt, switches

CLASSES = ("norms", "attention", "linear", "logits")  # parts that show in classes of modules


@pytest.fixture
def real(real_sglang: None) -> Any:
    return importlib.import_module("tests.sglang_model.real")


@pytest.fixture
def willing(real: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A host where everything is supported: what a test does not break is right."""
    monkeypatch.delenv(switches.PARTS_VARIABLE, raising=False)
    monkeypatch.setattr(adopt, "_gpu_problem", lambda weight: None)
    monkeypatch.setattr(adopt, "_weights_problem", lambda text_model: None)
    monkeypatch.setattr(adopt, "_kernel_problems", lambda *rest: {})
    return real


def built(real: Any) -> Any:
    """A model of gemma4ctl's own class."""
    config = real.text_config(**real.E2B, final_logit_softcapping=30.0)
    return real.build("gemma4ctl.sglang_model.classes", "Gemma4ForCausalLM", config)


def is_stock(model: Any) -> bool:
    from sglang.srt.models import gemma4_causal

    modules = (*model.model.modules(), model.logits_processor)
    kinds = {type(module) for module in modules}
    return not {kind for kind in kinds if kind.__module__.startswith("gemma4ctl")} and isinstance(
        model.model, gemma4_causal.Gemma4TextModel
    )


def test_a_supported_model_is_switched_and_said(
    willing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        model = built(willing)
    assert not is_stock(model)
    assert [r.getMessage() for r in caplog.records if "kernels:" in r.getMessage()] == [
        "gemma4ctl 0.1.0 kernels: fused, Gemma4ForCausalLM, 10 layers: norms with residuals and "
        "per-layer embeddings, QKV norm with RoPE and KV store, linears of small batches, "
        "attention of decode batches, softcap of the logits"
    ]


def classes(model: Any) -> dict[str, str]:
    """Whose code runs which part of the first layer."""
    layer = model.model.layers[0]
    parts = {
        "norms": {type(layer), type(model.model)},
        "attention": {type(layer.self_attn)},
        "linear": {type(layer.mlp), type(layer.self_attn.o_proj.quant_method)},
        "logits": {type(model.logits_processor)},
    }
    ours = "gemma4ctl"
    return {
        part: "".join(sorted({ours if ours in one.__module__ else "stock" for one in kinds}))
        for part, kinds in parts.items()
    }


@pytest.mark.parametrize("part", CLASSES)
def test_each_part_works_alone(willing: Any, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setenv(switches.PARTS_VARIABLE, part)
    model = built(willing)
    expected = dict.fromkeys(CLASSES, "stock") | {part: "gemma4ctl"}
    assert classes(model) == expected
    if part == "norms":
        assert not any(layer.small_linears for layer in model.model.layers)


@pytest.mark.parametrize("part", CLASSES)
def test_a_part_that_fails_its_check_is_left_alone(
    willing: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    found = {part: ["this kernel 8x32: result 0 is off by 3%", "that kernel: OutOfResources"]}
    monkeypatch.setattr(adopt, "_kernel_problems", lambda *rest: found)
    with caplog.at_level(logging.INFO):
        model = built(willing)
    expected = dict.fromkeys(CLASSES, "gemma4ctl") | {part: "stock"}
    assert classes(model) == expected
    lines = [r.getMessage() for r in caplog.records if "kernels" in r.getMessage()]
    title = adopt.PART_TITLES[part]
    assert lines[:2] == [
        f"gemma4ctl 0.1.0 kernels of Gemma4ForCausalLM, {title} left to SGLang: {reason}"
        for reason in found[part]
    ]
    assert lines[2].startswith("gemma4ctl 0.1.0 kernels: fused, Gemma4ForCausalLM, 10 layers: ")
    assert lines[2].endswith(f"; left to SGLang: {title}")


def test_all_parts_may_fail(
    willing: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    everything = {part: ["wrong"] for part in switches.PARTS}
    monkeypatch.setattr(adopt, "_kernel_problems", lambda *rest: everything)
    assert is_stock(built(willing))
    assert "kernels: stock, Gemma4ForCausalLM: no kernel passes its check" in caplog.text


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("atention", "ValueError: GEMMA4CTL_SGLANG_PARTS names atention; there are norms"),
        ("experts", "GEMMA4CTL_SGLANG_PARTS names none"),  # of this model's
    ],
)
def test_a_list_of_no_parts_leaves_the_model(
    willing: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    listed: str,
    reason: str,
) -> None:
    monkeypatch.setenv(switches.PARTS_VARIABLE, listed)
    assert is_stock(built(willing))
    assert f"kernels: stock, Gemma4ForCausalLM: {reason}" in caplog.text


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("_gpu_problem", "the kernels are made for sm_90, not sm_120"),
        ("_weights_problem", "quantized per-layer embeddings"),
    ],
)
def test_a_problem_leaves_the_model(
    willing: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
    reason: str,
) -> None:
    monkeypatch.setattr(adopt, broken, lambda *rest: reason)
    assert is_stock(built(willing))
    assert f"kernels: stock, Gemma4ForCausalLM: {reason}" in caplog.text


@pytest.mark.parametrize("error", [ImportError("no triton"), MemoryError("out of memory")])
def test_an_error_leaves_the_model(
    willing: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail(*rest: Any) -> None:
        raise error

    monkeypatch.setattr(adopt, "_kernel_problems", fail)
    assert is_stock(built(willing))
    assert f"kernels: stock, Gemma4ForCausalLM: {type(error).__name__}: {error}" in caplog.text


def test_servers_that_are_not_supported(willing: Any, caplog: pytest.LogCaptureFixture) -> None:
    from sglang.srt.runtime_context import get_context

    willing.process()
    with get_context().override_server_args(enable_torch_compile=True):
        assert is_stock(built(willing))
    assert "kernels: stock, Gemma4ForCausalLM: --enable-torch-compile" in caplog.text


def test_a_model_on_the_cpu_is_left(real: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert is_stock(built(real))
    assert "kernels: stock, Gemma4ForCausalLM: the model is on cpu" in caplog.text


def test_other_types_are_left(real: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(adopt, "_gpu_problem", lambda weight: None)
    assert is_stock(built(real))
    assert "activations are neither bfloat16 nor float16" in caplog.text


def test_the_gpu_of_the_weights_counts(monkeypatch: pytest.MonkeyPatch, real: Any) -> None:
    import torch

    from gemma4ctl.sglang_model.kernels import runtime

    weight = type("Weight", (), {"device": torch.device("cuda", 0)})()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(runtime, "missing", lambda: None)
    assert adopt._gpu_problem(weight) is None
    monkeypatch.setattr(runtime, "missing", lambda: "Triton 2.0 is older than 3.4")
    assert adopt._gpu_problem(weight) == "Triton 2.0 is older than 3.4"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (10, 0))
    assert adopt._gpu_problem(weight) == "the kernels are made for sm_90, not sm_100"


def test_every_shape_of_the_model_is_checked(real: Any) -> None:
    config = real.text_config(**real.E2B)
    model = real.build("sglang.srt.models.gemma4_causal", "Gemma4ForCausalLM", config)
    shapes = set(adopt._shapes(model.model))
    assert {(s.heads, s.kv_heads, s.head) for s in shapes} == {(4, 1, 64), (4, 1, 128)}
    assert {(s.hidden, s.per_layer, s.experts) for s in shapes} == {(32, 8, 0)}


def test_every_plain_weight_of_the_model_is_checked(real: Any) -> None:
    config = real.text_config(**real.E2B)
    model = real.build("sglang.srt.models.gemma4_causal", "Gemma4ForCausalLM", config)
    found = {tuple(product) for product in adopt._products(model.model)}
    assert found == {
        ((4 + 2) * 64, 32, False),  # QKV of sliding and full layers
        ((4 + 2) * 128, 32, False),
        (4 * 64, 32, False),  # only Q
        (4 * 128, 32, False),
        (32, 4 * 64, False),  # output
        (32, 4 * 128, False),
        (2 * 48, 32, True),
        (2 * 96, 32, True),
        (32, 48, False),  # down
        (32, 96, False),
        (8, 32, False),  # per-layer gate, projection, inputs
        (32, 8, False),
        (80, 32, False),
    }


def test_a_draft_is_switched(willing: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        willing.draft(willing.text_config(**willing.DENSE), module="gemma4ctl.sglang_model.classes")
    assert "kernels: fused, Gemma4AssistantForCausalLM, 2 layers" in caplog.text


def test_plain_linears_multiply_small_batches_by_a_kernel(
    willing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from sglang.srt.layers.quantization.unquant import UnquantizedLinearMethod

    from gemma4ctl.sglang_model.kernels import linear

    model = built(willing).model
    layer = model.layers[0]
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if type(getattr(module, "quant_method", None)).__name__ == "SmallBatches"
    }
    assert names == {
        "qkv_proj",
        "o_proj",
        "gate_up_proj",
        "down_proj",
        "per_layer_input_gate",
        "per_layer_projection",
        "per_layer_model_projection",
    }
    assert isinstance(layer.self_attn.o_proj.quant_method, UnquantizedLinearMethod)
    used: list[int] = []
    monkeypatch.setattr(linear, "small", lambda x: len(x) <= 8)
    monkeypatch.setattr(linear, "linear", lambda x, w: used.append(len(x)) or x @ w.T)
    for rows in (3, 9):
        x = torch.randn(rows, 256)
        out, _ = layer.self_attn.o_proj(x)
        assert torch.allclose(out, x @ layer.self_attn.o_proj.weight.T, atol=1e-5)
    assert used == [3]


def test_experts_of_small_batches(real: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SGLang's own layer of experts, its dispatcher and reduction, with our method."""
    import torch
    from sglang.srt.layers.moe.topk import StandardTopKOutput

    from gemma4ctl.sglang_model import moe
    from gemma4ctl.sglang_model.kernels import experts

    config = real.text_config(**real.EXPERTS)
    model = real.build("sglang.srt.models.gemma4_causal", "Gemma4ForCausalLM", config)
    layer = model.model.layers[0].moe
    monkeypatch.setattr(experts, "small", lambda x: len(x) <= 4)
    plain = experts_plainly
    monkeypatch.setattr(experts, "experts", plain)
    moe.switch(layer)
    assert type(layer.experts.quant_method) is moe.SmallExperts
    x = torch.randn(3, 32)
    ids = torch.tensor([[0, 1], [2, 3], [4, 0]], dtype=torch.int32)
    routed = StandardTopKOutput(torch.rand(3, 2), ids, torch.zeros(3, 8))
    found = layer.experts(x, routed)
    own = layer.experts
    assert torch.allclose(found, plain(x, routed.topk_weights, ids, own.w13_weight, own.w2_weight))
    with pytest.raises(AssertionError, match="gelu"):  # five tokens are SGLang's, not on CPUs
        layer.experts(torch.randn(5, 32), routed)


def experts_plainly(x: Any, weights: Any, ids: Any, gate_up: Any, down: Any) -> Any:
    import torch

    out = torch.zeros_like(x)
    for token, chosen in enumerate(ids.tolist()):
        for place, expert in enumerate(chosen):
            gate, up = (gate_up[expert] @ x[token]).chunk(2)
            made = down[expert] @ (torch.nn.functional.gelu(gate) * up)
            out[token] += weights[token, place] * made
    return out


def test_packed_experts_are_left(real: Any) -> None:
    from types import SimpleNamespace

    from gemma4ctl.sglang_model import moe

    packed = SimpleNamespace(experts=SimpleNamespace(quant_method=object()))
    method = packed.experts.quant_method
    moe.switch(packed)
    assert packed.experts.quant_method is method
