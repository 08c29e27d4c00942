"""Prefill from SGLang's breakable CUDA graphs.

SGLang 0.5.16 captures the layers of a model once for each of a few numbers of tokens, with ids,
embeddings, positions and full KV slots in buffers, and runs attention between the graphs. It turns
this off for models with images, and its own Gemma 4 does not start with it: it refuses ids beside
embeddings. The fused layers take both. What a graph would not see is kept out of it: the slots of
sliding layers, a new tensor for each batch (SGLang stores K and V, between the graphs), and what
images bring (such batches run as without graphs).

They are asked for by a variable, so that a server whose layers are not fused in the end starts
without them, or by SGLang's own ``--cuda-graph-backend-prefill breakable``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from gemma4ctl.sglang_model import announce, support, switches

if TYPE_CHECKING:
    from torch import Tensor

BREAKABLE, PIECEWISE, DISABLED = "breakable", "tc_piecewise", "disabled"  # SGLang's names
PLACEHOLDERS = ("image_token_id", "video_token_id", "audio_token_id")


def arrange(server: Any, parts: Collection[str], environment: Mapping[str, str]) -> None:
    """Have SGLang capture graphs of prefill, where they are asked for and can hold the layers.

    Called before SGLang captures anything; the arguments of ``server`` are changed.

    Args:
        server: SGLang's ``ServerArgs`` of this process.
        parts: the parts of the layers that are fused; none with SGLang's own.
        environment: may name the sizes of the graphs.
    """
    if server.cuda_graph_config is None:
        return
    prefill = server.cuda_graph_config.prefill
    by_flag = _set_by_flag(server, "prefill")
    try:
        sizes = () if by_flag else switches.prefill_graph_sizes(environment)
        if not sizes and prefill.backend != BREAKABLE:
            return
        if prefill.backend == BREAKABLE and not by_flag and not parts:
            return  # SGLang captures its own layers of a text model unasked
        reason = _problem(server, parts)
        if reason is None and sizes:
            reason = _turned_off(server) or _ask_for(prefill, _fitting(server, sizes))
        if reason is None:
            _keep_images_out()
    except Exception as error:  # without graphs it always works
        reason = f"{type(error).__name__}: {error}"
    if reason is None:
        announce.prefill_graphs(prefill.bs)
    else:
        prefill.backend = DISABLED
        announce.no_prefill_graphs(reason)


def problem(server: Any) -> str | None:
    """Why the CUDA graphs that a server with these arguments has cannot hold the fused layers."""
    graphs = server.cuda_graph_config
    if graphs is None:
        return None
    if PIECEWISE in (graphs.prefill.backend, graphs.decode.backend):
        return "piecewise CUDA graphs (torch.compile)"
    if graphs.decode.backend == BREAKABLE:
        return "breakable CUDA graphs of decode"
    return None


def _problem(server: Any, parts: Collection[str]) -> str | None:
    """Why graphs of prefill cannot hold the layers."""
    from sglang.srt.environ import envs

    if "norms" not in parts:  # the part whose layers take both ids and embeddings
        return "the norms are not fused" if parts else "SGLang's own layers"
    if envs.SGLANG_GEMMA_OUT_OF_PLACE_POSITION_MUTATION.get():
        return "positions that are not in their buffer"
    return support.prefill_graphs_problem(server)


def _set_by_flag(server: Any, phase: str) -> bool:
    """Whether SGLang was told by a flag which graphs ``phase`` is to have."""
    return (phase, "backend") in getattr(server, "_cuda_graph_config_locked", ())


def _turned_off(server: Any) -> str | None:
    """Why graphs are not to be asked for: SGLang turned its own off, as for --enable-mis."""
    if server.cuda_graph_config.decode.backend != DISABLED or _set_by_flag(server, "decode"):
        return None
    return "SGLang turned its CUDA graphs off"


def _ask_for(prefill: Any, sizes: list[int]) -> str | None:
    """Ask SGLang for graphs of ``sizes`` tokens; why not, where there are none."""
    if not sizes:
        return "every size is larger than a prefill chunk"
    prefill.backend, prefill.bs, prefill.max_bs = BREAKABLE, sizes, sizes[-1]
    return None


def _fitting(server: Any, sizes: Collection[int]) -> list[int]:
    """The ``sizes`` that a batch of prefill can have, in order."""
    limits = (server.chunked_prefill_size, server.context_length, server.max_total_tokens)
    most = min((limit for limit in limits if limit and limit > 0), default=None)
    return sorted(size for size in sizes if most is None or size <= most)


def _keep_images_out() -> None:
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
