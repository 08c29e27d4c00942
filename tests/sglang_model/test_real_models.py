"""The fused layers in real SGLang models, against SGLang's own layers. Runs on a CPU.

The kernels are replaced by plain PyTorch of the same meaning, in float32: what is proved is that
the layers call them with the right weights, residuals and KV slots, in every layer.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

CHUNKS = [19, 7, 1, 1, 1]  # longer than the window, a second chunk, then decode
CASES = ("E2B", "DENSE", "EXPERTS")
CLOSE = 2e-5  # float32 sums in another order


@pytest.fixture(scope="module")
def real(real_sglang: None) -> Any:
    return importlib.import_module("tests.sglang_model.real")


@pytest.fixture
def plain_kernels(real_sglang: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernels, replaced by their meaning."""
    plain = importlib.import_module("tests.sglang_model.plain")
    for name in ("norms", "per_layer", "attention", "linear"):
        module = importlib.import_module(f"gemma4ctl.sglang_model.kernels.{name}")
        for function in vars(plain):
            if hasattr(module, function) and callable(getattr(plain, function)):
                monkeypatch.setattr(module, function, getattr(plain, function))
    return plain


def stock(real: Any, case: str) -> Any:
    config = real.text_config(**getattr(real, case))
    return real.build("sglang.srt.models.gemma4_causal", "Gemma4ForCausalLM", config)


def fused(real: Any, case: str, parts: tuple[str, ...] = ("norms", "attention", "linear")) -> Any:
    from gemma4ctl.sglang_model import adopt

    model = stock(real, case)
    adopt._switch(model, model.model, parts)
    return model


def backend(real: Any, model: Any, own: int | None = None) -> Any:
    return real.Backend(real.pool(own, model.config))


def difference(one: Any, other: Any) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize(
    "parts",
    [("norms",), ("attention",), ("linear",), ("norms", "attention"), ("norms", "linear"), None],
)
@pytest.mark.parametrize("case", CASES)
def test_hidden_states_are_those_of_sglang(
    real: Any, plain_kernels: Any, case: str, parts: tuple[str, ...] | None
) -> None:
    model = stock(real, case)
    expected = real.hidden_states(model, backend(real, model), CHUNKS)
    model = fused(real, case, parts or ("norms", "attention", "linear"))
    found = real.hidden_states(model, backend(real, model), CHUNKS)
    assert expected.std() > 0.1
    assert difference(found, expected) < CLOSE


def test_layers_are_those_that_sglang_built(real: Any, plain_kernels: Any) -> None:
    from gemma4ctl.sglang_model import layers

    model, before = stock(real, "E2B"), stock(real, "E2B")
    names = [name for name, _ in before.named_parameters()]
    parameters = [id(tensor) for tensor in model.parameters()]
    from gemma4ctl.sglang_model import adopt

    adopt._switch(model, model.model, ("norms", "attention", "linear"))
    assert [id(tensor) for tensor in model.parameters()] == parameters
    assert [name for name, _ in model.named_parameters()] == names
    assert set(model.state_dict()) == set(before.state_dict())
    assert {type(layer) for layer in model.model.layers} == {layers.FusedDecoderLayer}
    assert isinstance(model.model.layers[0], type(before.model.layers[0]))


def test_the_fused_store_writes_what_sglang_stores(real: Any, plain_kernels: Any) -> None:
    """Sliding layers at slots of their own, full ones at the batch's, and nobody else's."""
    model = stock(real, "E2B")
    own = backend(real, model)
    real.hidden_states(model, own, CHUNKS)
    model = fused(real, "E2B", ("norms", "attention"))
    ours = backend(real, model)
    real.hidden_states(model, ours, CHUNKS)
    assert own.stored.count(True) == 5 * len(CHUNKS)
    assert not any(ours.stored)
    for one, other in ((ours, own),):
        for name in ("full_kv_pool", "swa_kv_pool"):
            for mine, theirs in zip(
                getattr(one.pool, name).k_buffer + getattr(one.pool, name).v_buffer,
                getattr(other.pool, name).k_buffer + getattr(other.pool, name).v_buffer,
                strict=True,
            ):
                assert difference(mine, theirs) < CLOSE if theirs.any() else not mine.any()


def test_kv_of_another_type_is_stored_by_sglang(real: Any, plain_kernels: Any) -> None:
    model = fused(real, "DENSE")
    behind = backend(real, model)
    for sub in (behind.pool.full_kv_pool, behind.pool.swa_kv_pool):
        sub.kv_cache_layout = "hnd"
    expected = real.hidden_states(stock(real, "DENSE"), backend(real, model), CHUNKS)
    assert difference(real.hidden_states(model, behind, CHUNKS), expected) < CLOSE
    assert all(behind.stored)


def test_captured_hidden_states_are_those_of_sglang(real: Any, plain_kernels: Any) -> None:
    """Inputs of layers and the output of the last, as EAGLE-3 and DFlash drafts ask for them."""
    found = []
    for model in (stock(real, "E2B"), fused(real, "E2B")):
        model.model.layers_to_capture = [0, 3, 10]
        with backend(real, model).batch(6, decode=False) as batch:
            import torch

            with torch.no_grad():
                hidden, aux = model.model(torch.arange(1, 7), torch.arange(6), batch)
        found.append([hidden, *aux])
    assert len(found[0]) == len(found[1]) == 4
    for mine, theirs in zip(found[1], found[0], strict=True):
        assert difference(mine, theirs) < CLOSE


def test_quantized_projections_are_used_as_they_are(real: Any, plain_kernels: Any) -> None:
    expected = real.hidden_states(
        stock(real, "E2B"), backend(real, model := fused(real, "E2B")), CHUNKS
    )
    for layer in model.model.layers:
        layer.self_attn.plain_projection = False
    assert difference(real.hidden_states(model, backend(real, model), CHUNKS), expected) < CLOSE


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        ("norms", "attention_tail", "residual"),
        ("norms", "layer_tail", "scalar"),
        ("attention", "norm_rope_store", "slot"),
    ],
)
def test_the_comparison_sees_a_broken_kernel(
    real: Any,
    plain_kernels: Any,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    name: str,
    broken: str,
) -> None:
    """Negative controls: a dropped residual, a dropped scalar, slots off by one."""
    right = getattr(plain_kernels, name)

    def wrong(*args: Any, **options: Any) -> Any:
        own = list(args)
        if broken == "residual":
            own[2] = own[2] * 0
        elif broken == "scalar":
            own[3] = own[3] * 0 + 1
        else:
            own[7] = own[7] + 1
        return right(*own, **options)

    monkeypatch.setattr(f"gemma4ctl.sglang_model.kernels.{module}.{name}", wrong)
    expected = real.hidden_states(
        stock(real, "DENSE"),
        backend(real, model := fused(real, "DENSE", ("norms", "attention"))),
        CHUNKS,
    )
    assert difference(real.hidden_states(model, backend(real, model), CHUNKS), expected) > 0.01


def test_a_draft_reads_the_targets_kv(real: Any, plain_kernels: Any) -> None:
    """MTP: SGLang's own binding to a target whose sharing layers have no buffers."""
    import torch

    from gemma4ctl.sglang_model import adopt

    found = []
    for switch in (False, True):
        target = (fused if switch else stock)(real, "E2B")
        behind = backend(real, target, own=5 if switch else None)
        real.hidden_states(target, behind, CHUNKS)
        draft = real.draft(target.config)
        if switch:
            adopt._switch(draft, draft.model, ("norms", "attention", "linear"))
        draft.bind_frozen_kv_context(draft.build_frozen_kv_mtp_context(target, behind.pool))
        embeds = torch.randn(1, 32, generator=torch.Generator().manual_seed(3))
        with torch.no_grad(), behind.batch(1, decode=True) as batch:
            positions = torch.tensor([sum(CHUNKS) - 1])
            found.append(draft.model(None, positions, batch, input_embeds=embeds))
    assert difference(found[1], found[0]) < CLOSE


def test_pools_without_shared_layers_give_the_same_hidden_states(
    real: Any, plain_kernels: Any
) -> None:
    model = stock(real, "E2B")
    expected = real.hidden_states(model, backend(real, model), CHUNKS)
    small = backend(real, model, own=5)
    assert len(small.pool.layers_mapping) == 5
    assert difference(real.hidden_states(model, small, CHUNKS), expected) < CLOSE


def test_per_layer_inputs_are_those_of_sglang(real: Any, plain_kernels: Any) -> None:
    """From token ids, as here, and from embeddings, as another caller may pass them."""
    import torch

    ours, theirs = fused(real, "E2B").model, stock(real, "E2B").model
    ids = torch.tensor([1, 5, 95, 0])
    with torch.no_grad():
        embeds = theirs.embed_tokens(ids)
        tokens = theirs.get_per_layer_inputs(ids)
        expected = theirs.project_per_layer_inputs(embeds, tokens)
        assert ours.get_per_layer_inputs(ids) is ids
        for given in (ids, tokens):
            assert difference(ours.project_per_layer_inputs(embeds, given), expected) < CLOSE
        alone = theirs.project_per_layer_inputs(embeds, None)
        assert difference(ours.project_per_layer_inputs(embeds, None), alone) < CLOSE


@pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1", reason="needs TRITON_INTERPRET=1 from the start"
)
@pytest.mark.parametrize("case", CASES)
def test_the_kernels_themselves_in_a_real_model(real: Any, case: str) -> None:
    """Nothing is replaced here: Triton's interpreter runs the kernels."""
    model = stock(real, case)
    expected = real.hidden_states(model, backend(real, model), [4, 1])
    model = fused(real, case)
    assert difference(real.hidden_states(model, backend(real, model), [4, 1]), expected) < 1e-4
