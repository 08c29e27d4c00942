"""Prefill from SGLang's breakable CUDA graphs (``--cuda-graph-backend-prefill breakable``).

SGLang 0.5.16 captures the layers of a model once for each of a few numbers of tokens, with ids,
embeddings, positions and full KV slots in buffers, and runs attention between the graphs. It turns
this off for models with images, and its own Gemma 4 does not start with it: it refuses ids beside
embeddings. The fused layers take both. What a graph would not see is kept out of it: the slots of
sliding layers, a new tensor for each batch (SGLang stores K and V, between the graphs), and what
images bring (such batches run as without graphs).
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PLACEHOLDERS = ("image_token_id", "video_token_id", "audio_token_id")


def asked() -> bool:
    """Whether this server is to prefill from breakable graphs."""
    from sglang.srt.model_executor.cuda_graph_config import (
        Backend,
        Phase,
        check_cuda_graph_backend,
    )

    return check_cuda_graph_backend(Phase.PREFILL, Backend.BREAKABLE)


def problem(server: Any) -> str | None:
    """Why the graphs of a server with these arguments cannot hold the fused layers."""
    from sglang.srt.environ import envs
    from sglang.srt.model_executor.cuda_graph_config import (
        Backend,
        Phase,
        check_cuda_graph_backend,
    )

    if any(check_cuda_graph_backend(phase, Backend.TC_PIECEWISE) for phase in Phase.ALL):
        return "piecewise CUDA graphs (torch.compile)"
    if check_cuda_graph_backend(Phase.DECODE, Backend.BREAKABLE):
        return "breakable CUDA graphs of decode"
    if not asked():
        return None
    if server.speculative_algorithm is not None:
        return "breakable CUDA graphs with speculative decoding"
    if envs.SGLANG_GEMMA_OUT_OF_PLACE_POSITION_MUTATION.get():
        return "breakable CUDA graphs with positions that are not in their buffer"
    return None


def keep_images_out() -> None:
    """Let SGLang run batches with images, videos or audio as without graphs."""
    from sglang.srt.model_executor.runner import PrefillCudaGraphRunner

    own = PrefillCudaGraphRunner.can_run_graph
    if hasattr(own, "__wrapped__"):
        return

    @wraps(own)
    def can_run_graph(self: Any, forward_batch: Any) -> bool:
        return not forward_batch.contains_mm_inputs() and own(self, forward_batch)

    PrefillCudaGraphRunner.can_run_graph = can_run_graph


def placeholders(config: Any) -> tuple[int, ...]:
    """The tokens that stand for images, videos and audio in a model's configuration."""
    found = (getattr(config, name, None) for name in PLACEHOLDERS)
    return tuple(token for token in found if token is not None)


def without_placeholders(ids: Tensor, tokens: tuple[int, ...], padding: int) -> Tensor:
    """``ids`` [T] as SGLang looks their per-layer embeddings up: padding instead of ``tokens``."""
    import torch

    for token in tokens:
        ids = torch.where(ids == token, padding, ids)
    return ids
