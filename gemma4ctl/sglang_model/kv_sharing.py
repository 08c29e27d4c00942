"""KV pools for the layers that own KV, and none for those that share it or for the MTP draft.

E2B and E4B have 35 and 42 layers, of which only the first 15 and 24 write KV; the others read what
the last of these of their own kind wrote. SGLang 0.5.16 gives each layer a buffer, and charges an
MTP draft's layers as full-attention layers although the draft reads the target's KV. Both are
corrected by hooks on two functions, after which the same memory holds 2.3 and 1.75 times the
tokens, and more with MTP.

Why nothing else breaks (SGLang 0.5.16, ``sglang/srt``). The layer ids of a ``ModelConfig`` are read
in six places:

* ``model_executor/model_runner_components/layer_setup.py``, ``adjust_hybrid_swa_layer_ids``: the
  last writer, called by ``ModelRunner.initialize`` once the model is loaded and before anything is
  allocated. The hook runs after it, where the server's arguments and the layers of the pipeline
  stage are known, rather than on ``get_hybrid_layer_ids``, which ``ModelConfig`` calls in processes
  that know neither.
* ``model_executor/pool_configurator.py``: counts them for the bytes of a token (both configurators
  of hybrid models); it only has to be the count of the buffers made.
* ``mem_cache/kv_cache_configurator.py``, ``_build_hybrid_swa_kv_pool``: hands them to
  ``SWAKVPool``, which makes one buffer an id and the dictionary ``layers_mapping`` from id to
  buffer. Ids need not be contiguous. (The builders of unified memory and Ascend pools read them
  too: those servers are left to stock.)
* Attention asks the pool for ``RadixAttention.layer_id``, which ``gemma4_causal.Gemma4Attention``
  sets to the donor of a sharing layer: the last earlier layer of its kind before the first sharing
  one, so always an id that is kept. Sharing layers never write (``save_kv_cache`` is False there).
* ``TritonAttnBackend`` takes head sizes from the model configuration, since sliding and full
  layers differ; it looks up no layer by position.
* ``models/gemma4_mtp.py``, ``build_frozen_kv_mtp_context``, resolves the target's last two layers
  to their donors before the draft's attention is bound to them.

The prefix cache, the allocators and the scheduler work on token slots and never on layers.
Hierarchical cache, disaggregation, HiSparse and LMCache copy layer by layer: left to stock. A pool
that grows past 2^31 elements is safe with Triton attention: its slot indices are int64 in
``kv_indices``, ``window_kv_indices`` and the store (``jit_kernel/csrc/elementwise/kvcache.cuh``).

The draft's real pool has 64 dummy tokens (``FrozenKVMTPDraftWorker.alloc_memory_pool``), so leaving
its charge out takes nothing from it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gemma4ctl.sglang_model import announce, support

LAYER_IDS = (
    "sglang.srt.model_executor.model_runner_components.layer_setup.adjust_hybrid_swa_layer_ids"
)
CHARGE = "sglang.srt.model_executor.pool_configurator.HybridSWAPoolConfigurator.__init__"


class LayerIds(NamedTuple):
    """Global ids of the layers that get a buffer."""

    sliding: list[int]
    full: list[int]


def register() -> None:
    """Register both hooks, which SGLang applies when all plugins have been called."""
    import sglang

    if (problem := support.release_problem(sglang.__version__)) is not None:
        announce.stock_kv(problem)
        return
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    HookRegistry.register(LAYER_IDS, after_layer_ids, HookType.AFTER)
    HookRegistry.register(CHARGE, after_token_bytes, HookType.AFTER)


def after_layer_ids(
    result: None, *, model_config: Any, start_layer: int, end_layer: int, is_hybrid_swa: bool
) -> None:
    """Take the layers that share KV out of ``model_config``'s ids."""
    if support.architecture(model_config.hf_config.architectures) is None:
        return  # another model, or the draft
    try:
        reason = support.kv_problem(_server())
        if reason is None and not is_hybrid_swa:
            reason = "one KV pool for all layers"
        if reason is not None:
            announce.stock_kv(reason)
            return
        _share(model_config)
    except Exception as error:  # the pools as SGLang makes them are always right
        announce.stock_kv(f"{type(error).__name__}: {error}")


def after_token_bytes(result: None, configurator: Any, kvc: Any) -> None:
    """Take the draft's layers out of the bytes of a token."""
    model_config = kvc.model_config
    if support.architecture(model_config.hf_config.architectures) is None:
        return
    try:
        if kvc.spec_algorithm.is_frozen_kv_mtp() and support.kv_problem(kvc.server_args) is None:
            _uncharge(configurator)
    except Exception as error:
        announce.stock_kv(f"{type(error).__name__}: {error}")


def own_layers(text_config: Any, sliding: list[int], full: list[int]) -> LayerIds:
    """Those of the ids whose layers own KV.

    Raises:
        ValueError: a layer that shares KV has no donor of its kind.
    """
    shared = getattr(text_config, "num_kv_shared_layers", 0) or 0
    first = text_config.num_hidden_layers - shared
    kept = LayerIds([i for i in sliding if i < first], [i for i in full if i < first])
    if (sliding and not kept.sliding) or (full and not kept.full):
        raise ValueError(f"layers from {first} on share KV that no layer before owns")
    return kept


def _share(model_config: Any) -> None:
    sliding = model_config.swa_attention_layer_ids
    full = model_config.full_attention_layer_ids
    kept = own_layers(model_config.hf_text_config, sliding, full)
    model_config.swa_attention_layer_ids = kept.sliding
    model_config.full_attention_layer_ids = kept.full
    announce.shared_kv(len(kept.sliding) + len(kept.full), len(sliding) + len(full))


def _uncharge(configurator: Any) -> None:
    layers = configurator._draft_full_layers_num
    if not layers:
        return
    configurator._cell_size -= configurator._full_per_token * layers
    configurator._draft_full_layers_num = 0
    announce.uncharged_draft(layers)


def _server() -> Any:
    from sglang.srt.runtime_context import get_server_args

    return get_server_args()
