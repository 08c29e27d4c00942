"""The hooks on SGLang's KV pools: first alone, then in the real SGLang."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from gemma4ctl.sglang_model import kv_sharing, plugin, support, switches
from gemma4ctl.sglang_model.kv_sharing import own_layers

E2B = (["sliding_attention"] * 4 + ["full_attention"]) * 7
E4B = (["sliding_attention"] * 5 + ["full_attention"]) * 7
B31 = (["sliding_attention"] * 5 + ["full_attention"]) * 10
TARGET = "Gemma4ForConditionalGeneration"


def config(kinds: list[str], shared: int, name: str = TARGET) -> SimpleNamespace:
    """What of SGLang's ``ModelConfig`` the hooks read."""
    return SimpleNamespace(
        hf_config=SimpleNamespace(architectures=[name]),
        hf_text_config=SimpleNamespace(
            num_hidden_layers=len(kinds), num_kv_shared_layers=shared, layer_types=kinds
        ),
        swa_attention_layer_ids=[i for i, kind in enumerate(kinds) if "sliding" in kind],
        full_attention_layer_ids=[i for i, kind in enumerate(kinds) if "full" in kind],
    )


def server(**values: Any) -> SimpleNamespace:
    defaults = {"pp_size": 1, "disaggregation_mode": "null", "attention_backend": "triton"}
    return SimpleNamespace(**defaults | values)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the arguments of the server that the hooks see."""

    def set_server(**values: Any) -> None:
        monkeypatch.setattr(kv_sharing, "_server", lambda: server(**values))

    set_server()
    return set_server


def after_ids(model: Any, *, hybrid: bool = True) -> None:
    kv_sharing.after_layer_ids(
        None, model_config=model, start_layer=0, end_layer=99, is_hybrid_swa=hybrid
    )


@pytest.mark.parametrize(
    ("kinds", "shared", "sliding", "full"),
    [(E2B, 20, 12, 3), (E4B, 18, 20, 4), (B31, 0, 50, 10)],
)
def test_own_layers(kinds: list[str], shared: int, sliding: int, full: int) -> None:
    model = config(kinds, shared)
    kept = own_layers(
        model.hf_text_config, model.swa_attention_layer_ids, model.full_attention_layer_ids
    )
    assert (len(kept.sliding), len(kept.full)) == (sliding, full)
    donors = [i for i in (*kept.sliding, *kept.full) if i < len(kinds) - shared]
    assert len(donors) == sliding + full


def test_shared_layers_without_a_donor_are_an_error() -> None:
    model = config(["sliding_attention", "full_attention"], 1)
    with pytest.raises(ValueError, match="no layer before owns"):
        own_layers(
            model.hf_text_config, model.swa_attention_layer_ids, model.full_attention_layer_ids
        )


def test_ids_are_reduced_and_said(asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = config(E2B, 20)
    with caplog.at_level(logging.INFO):
        after_ids(model)
    assert model.swa_attention_layer_ids == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13]
    assert model.full_attention_layer_ids == [4, 9, 14]
    assert "KV: shared, 15 of 35 layers own KV" in caplog.text


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pp_size": 2}, "pipeline parallelism"),
        ({"disaggregation_mode": "prefill"}, "prefill/decode disaggregation"),
        ({"disable_hybrid_swa_memory": True}, "--disable-hybrid-swa-memory"),
        ({"enable_unified_memory": True}, "--enable-unified-memory"),
        ({"enable_hierarchical_cache": True}, "--enable-hierarchical-cache"),
        ({"attention_backend": "trtllm_mha"}, "the attention backend trtllm_mha"),
        ({"decode_attention_backend": "trtllm_mha"}, "the attention backend trtllm_mha"),
        ({"speculative_algorithm": "EAGLE3"}, "speculative decoding by EAGLE3"),
    ],
)
def test_other_servers_keep_sglangs_pools(
    asked: Any, caplog: pytest.LogCaptureFixture, values: dict[str, Any], reason: str
) -> None:
    asked(**values)
    model = config(E2B, 20)
    after_ids(model)
    assert len(model.swa_attention_layer_ids) == 28
    assert f"KV: stock: {reason}" in caplog.text


def test_one_pool_for_all_layers_is_kept(asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = config(E2B, 20)
    after_ids(model, hybrid=False)
    assert len(model.full_attention_layer_ids) == 7
    assert "KV: stock: one KV pool" in caplog.text


def test_an_error_leaves_the_ids(asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = config(E2B, 20)
    del model.hf_text_config.num_hidden_layers
    after_ids(model)
    assert len(model.swa_attention_layer_ids) == 28
    assert "KV: stock: AttributeError" in caplog.text


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "Gemma4AssistantForCausalLM"])
def test_other_models_are_nobodys_business(
    asked: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    model = config(E2B, 20, name)
    after_ids(model)
    kv_sharing.after_token_bytes(None, configurator(), kvc(model))
    assert len(model.swa_attention_layer_ids) == 28
    assert not caplog.text


def configurator(layers: int = 4) -> SimpleNamespace:
    return SimpleNamespace(
        _draft_full_layers_num=layers, _full_per_token=1000, _cell_size=99_000 + 1000 * layers
    )


def kvc(model: Any, *, mtp: bool = True, **values: Any) -> SimpleNamespace:
    return SimpleNamespace(
        model_config=model,
        server_args=server(**values),
        spec_algorithm=SimpleNamespace(is_frozen_kv_mtp=lambda: mtp),
    )


def test_the_draft_is_not_charged(caplog: pytest.LogCaptureFixture) -> None:
    made = configurator()
    with caplog.at_level(logging.INFO):
        kv_sharing.after_token_bytes(None, made, kvc(config(B31, 0)))
    assert (made._cell_size, made._draft_full_layers_num) == (99_000, 0)
    assert "4 draft layers not charged" in caplog.text


@pytest.mark.parametrize(
    "asks", [{"mtp": False}, {"pp_size": 2}, {"disaggregation_mode": "decode"}]
)
def test_other_drafts_are_charged(asks: dict[str, Any]) -> None:
    made = configurator()
    kv_sharing.after_token_bytes(None, made, kvc(config(B31, 0), **asks))
    assert made._cell_size == 103_000


def test_no_draft_is_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        kv_sharing.after_token_bytes(None, configurator(0), kvc(config(B31, 0)))
    assert not caplog.text


def test_an_odd_configurator_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    made = SimpleNamespace(_draft_full_layers_num=4)
    kv_sharing.after_token_bytes(None, made, kvc(config(B31, 0)))
    assert made == SimpleNamespace(_draft_full_layers_num=4)
    assert "KV: stock: AttributeError" in caplog.text


# In the real SGLang.


@pytest.fixture
def hooked(real_sglang: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """SGLang's own functions with the hooks applied as its loader of plugins applies them."""
    from sglang.srt.model_executor import pool_configurator
    from sglang.srt.model_executor.model_runner_components import layer_setup
    from sglang.srt.plugins.hook_registry import HookRegistry

    monkeypatch.setattr(
        layer_setup, "adjust_hybrid_swa_layer_ids", layer_setup.adjust_hybrid_swa_layer_ids
    )
    hybrid = pool_configurator.HybridSWAPoolConfigurator
    monkeypatch.setattr(hybrid, "__init__", hybrid.__init__)
    HookRegistry.reset()
    monkeypatch.setenv(switches.KV_VARIABLE, switches.KV_ON)
    plugin.load()
    HookRegistry.apply_hooks()
    assert set(HookRegistry._patched) == {kv_sharing.LAYER_IDS, kv_sharing.CHARGE}
    yield SimpleNamespace(layers=layer_setup, pools=pool_configurator)
    HookRegistry.reset()


def real_config(kinds: list[str], shared: int) -> SimpleNamespace:
    """``config`` with SGLang's own layer ids and the shapes of E2B."""
    from sglang.srt.configs.model_config import get_hybrid_layer_ids

    model = config(kinds, shared)
    sliding, full = get_hybrid_layer_ids([TARGET], model.hf_text_config)
    model.swa_attention_layer_ids, model.full_attention_layer_ids = sliding, full
    model.is_deepseek_v4_arch = False
    model.head_dim = model.v_head_dim = 512
    model.swa_head_dim = model.swa_v_head_dim = 256
    model.get_num_kv_heads = model.get_swa_num_kv_heads = lambda tp: 1
    return model


def real_kvc(model: Any, algorithm: str | None) -> SimpleNamespace:
    import torch
    from sglang.srt.speculative.spec_info import SpeculativeAlgorithm

    return SimpleNamespace(
        model_config=model,
        kv_cache_dtype=torch.bfloat16,
        server_args=server(
            swa_full_tokens_ratio=0.8, kv_cache_dtype="auto", speculative_algorithm=algorithm
        ),
        sliding_window_size=511,
        page_size=1,
        spec_algorithm=SpeculativeAlgorithm.from_string(algorithm),
        spec_aux_config=SimpleNamespace(eagle_draft_num_layers=4),
        is_draft_worker=False,
    )


def tokens(hooked: Any, model: Any, algorithm: str | None) -> int:
    """Tokens of the full pool that 100 GB buy, by SGLang's own arithmetic."""
    from sglang.srt.runtime_context import get_parallel

    with get_parallel().override(attn_tp_size=1):
        made = hooked.pools.HybridSWAPoolConfigurator(real_kvc(model, algorithm))
    return int(made.calculate_pool_sizes(100 * 10**9, 1).full_max_total_num_tokens)


@pytest.mark.parametrize(
    ("kinds", "shared", "gain", "gain_with_mtp"),
    [(E2B, 20, 2.33, 2.85), (E4B, 18, 1.75, 2.08), (B31, 0, 1.0, 1.13)],
)
def test_the_same_memory_holds_more_tokens(
    hooked: Any,
    asked: Any,
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[str],
    shared: int,
    gain: float,
    gain_with_mtp: float,
) -> None:
    for algorithm, expected in ((None, gain), ("FROZEN_KV_MTP", gain_with_mtp)):
        with monkeypatch.context() as off:  # SGLang's own
            init = hooked.pools.HybridSWAPoolConfigurator.__init__
            off.setattr(hooked.pools.HybridSWAPoolConfigurator, "__init__", init.__wrapped__)
            before = tokens(hooked, real_config(kinds, shared), algorithm)
        model = real_config(kinds, shared)
        hooked.layers.adjust_hybrid_swa_layer_ids(
            model_config=model, start_layer=0, end_layer=len(kinds), is_hybrid_swa=True
        )
        assert tokens(hooked, model, algorithm) / before == pytest.approx(expected, abs=0.01)


def test_each_layer_finds_a_buffer_of_its_own_width(
    hooked: Any, asked: Any, real_sglang: None
) -> None:
    """SGLang's pool, and the layer ids that its own attention layers ask it for."""
    from tests.sglang_model import real

    values = real.text_config(**real.E2B)
    model = real.build("sglang.srt.models.gemma4_causal", "Gemma4ForCausalLM", values)
    ids = config(list(values.layer_types), values.num_kv_shared_layers)
    ids.is_deepseek_v4_arch = False
    hooked.layers.adjust_hybrid_swa_layer_ids(
        model_config=ids, start_layer=0, end_layer=10, is_hybrid_swa=True
    )
    pool = real.pool(5, values)
    assert sorted(pool.layers_mapping) == sorted(
        ids.swa_attention_layer_ids + ids.full_attention_layer_ids
    )
    for layer in model.model.layers:
        attention = layer.self_attn.attn
        keys, values_ = pool.get_kv_buffer(attention.layer_id)
        assert keys.shape[-1] == values_.shape[-1] == attention.head_dim
        assert pool.layers_mapping[attention.layer_id][1] == (not layer.is_full_attention)


def test_support_knows_the_attributes_of_this_release(real_sglang: None) -> None:
    """A misspelled attribute would read as unset, and nothing would go to stock."""
    from sglang.srt.server_args import ServerArgs

    fields = set(ServerArgs.__dataclass_fields__)
    named = {*support._KERNELS_NEED, *support._KV_NEEDS, *support._BACKENDS}
    assert named <= fields
    defaults = ServerArgs(model_path="dummy")
    assert support.kernels_problem(defaults) is None
    assert support.kv_problem(defaults) is None
