"""What one rank of an SGLang server does with a checkpoint, without its processes, on a CPU.

SGLang reads the configuration, picks the class from its registry, builds it and loads the weights;
its own Triton attention backend runs in Triton's interpreter over its own KV pools. Only what
holds these together in a server (scheduler, allocator, model runner) is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

KV_SPLITS = 4
MULTIPROCESSORS = 4  # that the interpreter's GPU has: it takes one program after another


def load(folder: Path, *, fused: bool) -> Any:
    """The model of a checkpoint in fp32, loaded by SGLang; its configuration is ``.server``.

    The process must be a rank already (:func:`tests.sglang_model.real.process`).
    """
    from sglang.srt.configs.device_config import DeviceConfig
    from sglang.srt.configs.load_config import LoadConfig
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.layers.dp_attention import initialize_dp_attention
    from sglang.srt.layers.moe.fused_moe_native import fused_moe_forward_native
    from sglang.srt.model_loader import get_model
    from sglang.srt.runtime_context import get_server_args

    config = ModelConfig(str(folder), dtype="float32")
    initialize_dp_attention(get_server_args(), config)
    with ExitStack() as stack:
        if fused:
            stack.enter_context(fused_classes())
        model = get_model(
            model_config=config, load_config=LoadConfig(), device_config=DeviceConfig("cpu")
        )
    model.logits_processor.forward = partial(everywhere, model.logits_processor)
    for layer in text(model).layers:
        if layer.enable_moe_block:
            layer.router.norm.with_scale = True  # as on CUDA: elsewhere the scale is dropped
            # SGLang's experts in PyTorch; its method for CPUs refuses GELU before it calls any
            layer.moe.experts.quant_method.forward = fused_moe_forward_native
    model.server = config
    return model


def text(model: Any) -> Any:
    """The stack of layers of a model."""
    return getattr(model, "language_model", None) or model.model


@contextmanager
def fused_classes() -> Iterator[None]:
    """The classes of gemma4ctl in SGLang's registry; all of their parts, also in fp32 and here."""
    from sglang.srt.models.registry import ModelRegistry

    from gemma4ctl.sglang_model import adopt, classes, prefill_graphs, switches

    def switch(model: Any, text_model: Any) -> None:
        text_model.placeholders = prefill_graphs.placeholders(model.config)
        adopt._switch(model, text_model, switches.PARTS)

    ours = {each.__name__: each for each in classes.ALL}
    with patch.dict(ModelRegistry.models, ours), patch.object(classes, "adopt", switch):
        yield


@contextmanager
def interpreted_kernels() -> Iterator[None]:
    """The kernels for products, experts, decode attention and logits take fp32, on a small GPU."""
    from gemma4ctl.sglang_model.kernels import decode, experts, linear, logits

    def small(largest: int, x: torch.Tensor) -> bool:
        return 0 < x.shape[0] <= largest

    with (
        patch.object(linear, "small", partial(small, linear.SMALL_BATCH)),
        patch.object(experts, "small", partial(small, experts.LARGEST_BATCH)),
        patch.object(decode, "TYPES", (torch.float32,)),
        patch.object(logits, "TYPES", (torch.float32,)),
        patch.object(decode, "_multiprocessors", return_value=MULTIPROCESSORS),
    ):
        yield


def everywhere(
    processor: Any, ids: Any, hidden: torch.Tensor, head: Any, batch: Any, aux: Any = None
) -> torch.Tensor:
    """SGLang's logits of all tokens, not of the last of each request only.

    The softcap is that of CPUs: the interpreter has no tanh for SGLang's kernel.
    """
    from sglang.srt.layers import logits_processor

    metadata = logits_processor.LogitsMetadata.from_forward_batch(batch)
    with patch.object(logits_processor, "_is_cpu", True):
        return processor._get_logits(hidden, head, metadata)


class Requests:
    """Requests of a server with their KV, computed together step by step.

    Args:
        model: from :func:`load`.
        count: how many requests.
        length: how many tokens one may have.
        own: how many layers have KV pools (None: all).
    """

    def __init__(self, model: Any, count: int, length: int, own: int | None = None) -> None:
        from sglang.srt.layers.attention.triton_backend import TritonAttnBackend

        self.model = model
        self.lengths = [0] * count
        slots = torch.randperm(count * length, generator=torch.Generator().manual_seed(3)) + 1
        self.slots = slots.view(count, length)
        self.pool = _pool(model, count * length, own)
        window = model.get_attention_sliding_window_size()
        self.backend = TritonAttnBackend(_runner(model, self.slots, self.pool, window))

    def decode_whole_windows(self) -> None:
        """Decode over as many keys as prefill attends to, which SGLang 0.5.16 does not.

        Its backend takes the keys of a window for decode from the size that the model gives, one
        less than the window: that excludes the token itself, which is in the KV by then.
        """
        self.backend.sliding_window_size += 1

    def step(self, tokens: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Logits [tokens, vocabulary] of the next tokens of each request.

        A step of one token each is decode once every request has a prefix.
        """
        sizes, before = [len(each) for each in tokens], list(self.lengths)
        positions = [torch.arange(n, n + size) for n, size in zip(before, sizes, strict=True)]
        self.lengths = [n + size for n, size in zip(before, sizes, strict=True)]
        batch = self._batch(torch.cat(list(tokens)), positions, before, sizes)
        return list(self.computed(batch).split(sizes))

    def computed(self, batch: Any) -> torch.Tensor:
        """Logits [tokens, vocabulary] of a batch."""
        from sglang.srt.model_executor.forward_context import ForwardContext, forward_context

        self.backend.init_forward_metadata(batch)
        with torch.no_grad(), forward_context(ForwardContext(attn_backend=self.backend)):
            logits: torch.Tensor = self.model(batch.input_ids, batch.positions, batch)
        return logits

    def _batch(
        self, ids: torch.Tensor, positions: list[torch.Tensor], before: list[int], sizes: list[int]
    ) -> Any:
        from sglang.srt.model_executor.forward_batch_info import (
            CaptureHiddenMode,
            ForwardBatch,
            ForwardMode,
        )

        decode = all(before) and set(sizes) == {1}
        return ForwardBatch(
            forward_mode=ForwardMode.DECODE if decode else ForwardMode.EXTEND,
            batch_size=len(sizes),
            input_ids=ids,
            req_pool_indices=torch.arange(len(sizes)),
            seq_lens=torch.tensor(self.lengths),
            out_cache_loc=torch.cat(
                [row[at] for row, at in zip(self.slots, positions, strict=True)]
            ),
            seq_lens_sum=sum(self.lengths),
            seq_lens_cpu=torch.tensor(self.lengths),
            positions=torch.cat(positions),
            num_token_non_padded_cpu=len(ids),
            capture_hidden_mode=CaptureHiddenMode.NULL,
            extend_num_tokens=None if decode else sum(sizes),
            extend_seq_lens=None if decode else torch.tensor(sizes),
            extend_prefix_lens=None if decode else torch.tensor(before),
            extend_start_loc=None if decode else torch.tensor([0, *sizes[:-1]]).cumsum(0),
            extend_prefix_lens_cpu=None if decode else before,
            extend_seq_lens_cpu=None if decode else sizes,
        )


def _pool(model: Any, slots: int, own: int | None) -> Any:
    """SGLang's two KV pools; sliding layers have other slots than full ones."""
    from sglang.srt.mem_cache.swa_memory_pool import SWAKVPool

    layers = list(enumerate(text(model).layers))
    full = [number for number, layer in layers[:own] if layer.is_full_attention]
    sliding = [number for number, layer in layers[:own] if not layer.is_full_attention]
    wide, narrow = (layers[ids[0]][1].self_attn for ids in (full, sliding))
    pool = SWAKVPool(
        size=slots,
        size_swa=slots + 1,  # one that no request has
        page_size=1,
        dtype=torch.float32,
        head_num=wide.num_kv_heads,
        head_dim=wide.head_dim,
        v_head_dim=wide.head_dim,
        swa_head_num=narrow.num_kv_heads,
        swa_head_dim=narrow.head_dim,
        swa_v_head_dim=narrow.head_dim,
        swa_attention_layer_ids=sliding,
        full_attention_layer_ids=full,
        device="cpu",
        post_capture_active=False,
    )
    turned = torch.randperm(slots, generator=torch.Generator().manual_seed(4)) + 1
    pool.register_mapping(torch.cat([torch.zeros(1, dtype=torch.int64), turned]))
    return pool


def _runner(model: Any, slots: torch.Tensor, pool: Any, window: int) -> Any:
    """What the attention backend asks of SGLang's model runner."""
    return SimpleNamespace(
        req_to_token_pool=SimpleNamespace(size=len(slots), req_to_token=slots.int()),
        token_to_kv_pool=pool,
        token_to_kv_pool_allocator=SimpleNamespace(),
        sliding_window_size=window,
        page_size=1,
        model_config=model.server,
        server_args=SimpleNamespace(
            speculative_num_draft_tokens=None,
            speculative_num_steps=None,
            speculative_eagle_topk=None,
            triton_attention_num_kv_splits=KV_SPLITS,
            triton_attention_split_tile_size=None,
            chunked_prefill_size=8192,
            enable_deterministic_inference=False,
        ),
        device="cpu",
        gpu_id=0,
        is_draft_worker=False,
    )
