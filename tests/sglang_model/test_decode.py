"""Which attention goes to the kernel: plain decode over SGLang's own pools, and nothing else."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

SLOTS, WINDOW = 40, 15


@pytest.fixture
def attention(real_sglang: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, its kernel replaced by the reference, which counts its calls."""
    module = importlib.import_module("gemma4ctl.sglang_model.decode")
    reference = importlib.import_module("gemma4ctl.sglang_model.kernels.reference")
    used: list[int | None] = []

    def attend(*arguments: Any) -> Any:
        used.append(arguments[-1])
        return reference.attend(*arguments)

    monkeypatch.setattr(module.decode, "attend", attend)
    return SimpleNamespace(module=module, used=used)


class Server:
    """A sliding and a full layer, and a batch of two requests over SGLang's pools."""

    def __init__(self, module: Any, **options: Any) -> None:
        import torch
        from sglang.srt.layers.attention.triton_backend import TritonAttnBackend
        from sglang.srt.layers.radix_attention import RadixAttention
        from sglang.srt.mem_cache.swa_memory_pool import SWAKVPool
        from sglang.srt.model_executor.forward_batch_info import ForwardMode

        self.layers = [
            RadixAttention(8, 32, 1, 2, 0, sliding_window_size=WINDOW, **options),
            RadixAttention(8, 64, 1, 1, 1, **options),
        ]
        for layer in self.layers:
            module.switch(layer)
        self.pool = SWAKVPool(
            size=SLOTS,
            size_swa=SLOTS // 2,
            page_size=1,
            dtype=torch.bfloat16,
            head_num=1,
            head_dim=64,
            v_head_dim=64,
            swa_head_num=2,
            swa_head_dim=32,
            swa_v_head_dim=32,
            swa_attention_layer_ids=[0],
            full_attention_layer_ids=[1],
            device="cpu",
            post_capture_active=False,
        )
        for layer in self.layers:
            for buffer in self.pool.get_kv_buffer(layer.layer_id):
                buffer.normal_(generator=torch.Generator().manual_seed(layer.layer_id))
        self.backend = object.__new__(TritonAttnBackend)
        self.backend.token_to_kv_pool = self.pool
        self.backend.forward_metadata = SimpleNamespace(
            kv_indptr=torch.tensor([0, 20, 33], dtype=torch.int32),
            kv_indices=torch.arange(33),
            window_kv_indptr=torch.tensor([0, 15, 28], dtype=torch.int32),
            window_kv_indices=torch.arange(28) * 3 % 20,
        )
        self.stock: list[Any] = []
        self.backend.forward = lambda *given, **options: self.stock.append(given)
        self.batch = SimpleNamespace(forward_mode=ForwardMode.DECODE, spec_info=None)

    def attend(self, number: int, *, stored: bool = False, **options: Any) -> Any:
        """A layer's attention; None where it was SGLang's."""
        import torch
        from sglang.srt.model_executor.forward_context import ForwardContext, forward_context

        layer = self.layers[number]
        q = torch.randn(2, 8, layer.head_dim, generator=torch.Generator().manual_seed(9))
        with forward_context(ForwardContext(attn_backend=self.backend)):
            return layer(q.bfloat16(), None, None, self.batch, stored, **options)


def expected(server: Server, number: int) -> Any:
    """Attention in PyTorch's own words: its function, request by request."""
    import torch

    layer, metadata = server.layers[number], server.backend.forward_metadata
    q = torch.randn(2, 8, layer.head_dim, generator=torch.Generator().manual_seed(9)).bfloat16()
    k, v = server.pool.get_kv_buffer(layer.layer_id)
    prefix = ("window_", "")[number]
    starts = getattr(metadata, f"{prefix}kv_indptr")
    slots = getattr(metadata, f"{prefix}kv_indices")
    found = []
    for request in range(2):
        rows = slots[starts[request] : starts[request + 1]]
        made = torch.nn.functional.scaled_dot_product_attention(
            q[request, :, None].float(),
            k[rows].transpose(0, 1).float(),
            v[rows].transpose(0, 1).float(),
            scale=1.0,
            enable_gqa=True,
        )
        found.append(made.flatten())
    return torch.stack(found)


@pytest.mark.parametrize(("number", "longest"), [(0, WINDOW), (1, None)])
def test_decode_reads_the_layers_own_slots(
    attention: Any, number: int, longest: int | None
) -> None:
    import torch

    server = Server(attention.module)
    found = server.attend(number)
    assert attention.used == [longest] and not server.stock
    assert found.shape == (2, 8 * server.layers[number].head_dim)
    right = expected(server, number)
    assert torch.allclose(found.float(), right, atol=2**-8 * float(right.abs().max()))


def extend(server: Server) -> None:
    from sglang.srt.model_executor.forward_batch_info import ForwardMode

    server.batch.forward_mode = ForwardMode.EXTEND


def verify(server: Server) -> None:
    from sglang.srt.model_executor.forward_batch_info import ForwardMode

    server.batch.forward_mode = ForwardMode.TARGET_VERIFY


def draft(server: Server) -> None:
    server.batch.spec_info = SimpleNamespace()


def other_backend(server: Server) -> None:
    server.backend = SimpleNamespace(**vars(server.backend))


def other_pool(server: Server) -> None:
    server.backend.token_to_kv_pool = SimpleNamespace()


def fp8(server: Server) -> None:
    import torch

    for pool in (server.pool.full_kv_pool, server.pool.swa_kv_pool):
        for buffers in (pool.k_buffer, pool.v_buffer):
            buffers[:] = [buffer.to(torch.float8_e4m3fn) for buffer in buffers]


def scaled(server: Server) -> None:
    for layer in server.layers:
        layer.k_scale = layer.v_scale = 0.5


def other_layout(server: Server) -> None:
    server.pool.full_kv_pool.kv_cache_layout = server.pool.swa_kv_pool.kv_cache_layout = "hnd"


@pytest.mark.parametrize(
    "change", [extend, verify, draft, other_backend, other_pool, fp8, scaled, other_layout]
)
def test_everything_else_is_left_to_sglang(attention: Any, change: Any) -> None:
    server = Server(attention.module)
    change(server)
    for number in range(2):
        server.attend(number)
    assert len(server.stock) == 2 and not attention.used


def test_calls_with_more_to_do_are_left_to_sglang(attention: Any) -> None:
    """K and V to store, attention sinks, score functions."""
    server = Server(attention.module)
    server.attend(0, stored=True)
    server.attend(0, sinks=object())
    server.attend(1, score_mod=object())
    assert len(server.stock) == 3 and not attention.used


@pytest.mark.parametrize("options", [{"logit_cap": 30.0}, {"v_head_dim": 16}])
def test_layers_that_the_kernel_does_not_know_stay(attention: Any, options: dict[str, Any]) -> None:
    from sglang.srt.layers.radix_attention import RadixAttention

    known = RadixAttention(8, 32, 1, 2, 0)
    attention.module.switch(known)
    assert type(known) is attention.module.DecodeAttention
    unknown = RadixAttention(8, 32, 1, 2, 0, **options)
    hot = RadixAttention(8, 32, 1, 2, 0)
    hot.xai_temperature_len = 1024
    wide = RadixAttention(32, 32, 1, 1, 0)  # 32 query heads of one KV head
    for layer in (unknown, hot, wide):
        attention.module.switch(layer)
        assert type(layer) is RadixAttention


def test_layers_are_switched_where_the_part_is_named(attention: Any) -> None:
    from gemma4ctl.sglang_model import adopt

    real = importlib.import_module("tests.sglang_model.real")
    config = real.text_config(**real.DENSE)
    for parts, count in ((("norms", "attention"), 0), (("attention", "decode"), 4)):
        model = real.build("sglang.srt.models.gemma4_causal", "Gemma4ForCausalLM", config)
        adopt._switch(model, model.model, parts)
        kinds = [type(layer.self_attn.attn).__name__ for layer in model.model.layers]
        assert kinds.count("DecodeAttention") == count
