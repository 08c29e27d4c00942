"""How the experts of a mixture multiply: a few tokens by kernels of our own."""

from __future__ import annotations

from typing import Any

from sglang.srt.layers.moe.token_dispatcher.standard import StandardCombineInput
from sglang.srt.layers.moe.topk import TopKOutputFormat
from sglang.srt.layers.quantization.unquant import UnquantizedFusedMoEMethod
from sglang.srt.runtime_context import get_parallel

from gemma4ctl.sglang_model.kernels import experts


class SmallExperts(UnquantizedFusedMoEMethod):
    """SGLang's method with plain weights; its layer dispatches and reduces as before."""

    def apply(self, layer: Any, dispatch_output: Any) -> Any:
        """The weighted sum of the chosen experts, [T, H]."""
        x, routed = dispatch_output.hidden_states, dispatch_output.topk_output
        if not (experts.small(x) and routed.format is TopKOutputFormat.STANDARD):
            return super().apply(layer, dispatch_output)
        weights, ids = routed.topk_weights, routed.topk_ids
        return StandardCombineInput(
            hidden_states=experts.experts(x, weights, ids, layer.w13_weight, layer.w2_weight)
        )


def switch(moe: Any) -> None:
    """Give a layer's experts that method, where their weights are plain and all on this rank."""
    method = moe.experts.quant_method
    if type(method) is not UnquantizedFusedMoEMethod or get_parallel().moe_ep_size != 1:
        return
    if method.runner.runner_backend.is_triton() and not hasattr(moe.experts, "w13_weight_bias"):
        method.__class__ = SmallExperts
