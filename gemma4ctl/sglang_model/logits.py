"""How logits are capped: while they are copied to fp32, not in a launch of its own."""

from __future__ import annotations

from typing import Any

from sglang.srt.layers import logits_processor
from sglang.srt.layers.logits_processor import LogitsMetadata, LogitsProcessor
from torch import Tensor

from gemma4ctl.sglang_model.kernels import logits as kernels


class CappedLogits(LogitsProcessor):
    """SGLang's processor, whose copy of the logits is capped already.

    Its own softcap, ``final_logit_softcapping``, is None, as it would cap them once more;
    ``softcap`` is the value.
    """

    softcap: float

    def _copy_logits_to_buffer(
        self, logits: Tensor, logits_metadata: LogitsMetadata, use_buffer: bool = True
    ) -> Tensor:
        """Capped logits [T, V] in fp32: in the batch's buffer where it is of that shape."""
        own = logits[..., : self.vocab_size]
        buffer = logits_metadata.next_token_logits_buffer if use_buffer else None
        if buffer is not None and buffer.shape != own.shape:
            buffer = None
        if kernels.supported(own, buffer):
            return kernels.softcap(own, self.softcap, buffer)
        copied = super()._copy_logits_to_buffer(logits, logits_metadata, use_buffer)
        return _capped(copied, self.softcap)


def _capped(logits: Tensor, cap: float) -> Tensor:
    """The softcap that SGLang applies to a copy of the logits."""
    if logits_processor._is_npu or logits_processor._is_cpu:
        return cap * (logits / cap).tanh()
    logits_processor.fused_softcap(logits, cap)
    return logits


def has_softcap(model: Any) -> bool:
    """Whether a model's logits are capped by SGLang's processor, and by nothing of their own.

    Drafts of E2B and E4B compute logits of some centroids only, without that processor.
    """
    processor: Any = getattr(model, "logits_processor", None)
    if type(processor) is not LogitsProcessor or getattr(model, "use_ordered_embeddings", False):
        return False
    return bool(processor.final_logit_softcapping) and processor.logit_scale is None


def switch(model: Any) -> None:
    """Let a model cap its logits so, if it caps them."""
    if has_softcap(model):
        processor = model.logits_processor
        processor.softcap = float(processor.final_logit_softcapping)
        processor.final_logit_softcapping = None
        processor.__class__ = CappedLogits
