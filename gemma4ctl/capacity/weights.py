"""Memory of the weights on one rank: every tensor that SGLang's model classes build, in order.

The shapes follow ``gemma4_mm.py``, ``gemma4_causal.py``, ``gemma4_vision.py``, ``gemma4_audio.py``
and ``gemma4_mtp.py`` of SGLang 0.5.16. Tensor parallelism shards attention, feed-forward layers,
experts and the towers; embeddings, per-layer embeddings with their projections, the image position
table and the projections of the draft are on every rank. KV heads are copied where there are more
ranks than heads. Full layers with ``k_eq_v`` load K a second time as V. Bytes, parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from gemma4ctl.capacity.allocator import Allocator
from gemma4ctl.profiles.table import Checkpoint, Draft, PerKind, Variant

BF16 = 2
FLOAT32 = 4
PATCH_VALUES = 3 * 16 * 16  # colours x pixels of an image patch
POSITIONS = 2 * 10_240  # rows of the position table of the image encoder
DRAFT_CENTROIDS = 2_048  # of the drafts that order their vocabulary (those of E2B and E4B)

# Bytes of a quantized parameter by format, with its scales: estimates for checkpoints whose size is
# not published (the published w4a16 ones have 0.68 to 0.75). NVFP4 leaves attention in bf16.
BYTES_PER_PARAMETER = {"bf16": 2.0, "fp8": 1.05, "nvfp4": 0.5625, "w4a16": 0.75}


class Shards(NamedTuple):
    """How a model is split: ranks of the tensor-parallel group, pipeline stages."""

    tp: int = 1
    pp: int = 1


class Loaded(NamedTuple):
    """Bytes of GPU memory that weights and draft take on one rank."""

    weights: int
    draft: int


class Matrix(NamedTuple):
    """One tensor on this rank, by its number of values.

    "kept" stays bf16, "attention" and "mlp" are quantized by most formats, "rotary" is computed.
    """

    parameters: int
    kind: Literal["kept", "attention", "mlp", "rotary"] = "kept"


@lru_cache(maxsize=1024)
def loaded(v: Variant, checkpoint: Checkpoint, shards: Shards, *, draft: bool = False) -> Loaded:
    """What loading takes on the fullest rank, with or without the MTP draft."""
    memory = Allocator()
    per_parameter = bytes_per_parameter(v, checkpoint)
    quantized = _quantized_kinds(checkpoint)
    for matrix in _towers(v, shards.tp):
        memory.take(matrix.parameters * BF16)
    for matrix in _language_model(v, shards):
        if matrix.kind == "rotary":
            _rotary_table(memory, matrix.parameters)
        else:
            each = per_parameter if matrix.kind in quantized else BF16
            memory.take(int(matrix.parameters * each))
    weights = memory.reserved
    if draft:
        for matrix in _draft(v.draft, v, shards.tp):
            memory.take(matrix.parameters * BF16)
    return Loaded(weights, memory.reserved - weights)


def bytes_per_parameter(v: Variant, checkpoint: Checkpoint) -> float:
    """Bytes of a parameter of the quantized layers: from the size of the files where known."""
    if checkpoint.format == "bf16":
        return BF16
    if checkpoint.weight_bytes is None:
        return BYTES_PER_PARAMETER[checkpoint.format]
    quantized = _quantized_parameters(v, checkpoint)
    doubled = v.layers.full * v.hidden_size * v.kv_heads.full * v.head_dim.full if v.k_eq_v else 0
    kept = v.parameters - (quantized - doubled)
    return max(0.25, (checkpoint.weight_bytes - kept * BF16) / (quantized - doubled))


def file_bytes(v: Variant, checkpoint: Checkpoint) -> int:
    """Bytes of the checkpoint's files; estimated by format where they are not published."""
    if checkpoint.weight_bytes is not None:
        return checkpoint.weight_bytes
    quantized = _quantized_parameters(v, checkpoint)
    each = BYTES_PER_PARAMETER[checkpoint.format]
    return int((v.parameters - quantized) * BF16 + quantized * each)


def _quantized_kinds(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The kinds of matrix that a quantized checkpoint holds in fewer bytes."""
    return ("mlp",) if checkpoint.format == "nvfp4" else ("mlp", "attention")


def _quantized_parameters(v: Variant, checkpoint: Checkpoint) -> int:
    """Parameters of those matrices, unsharded, as SGLang builds them."""
    kinds = _quantized_kinds(checkpoint)
    return sum(m.parameters for m in _language_model(v, Shards()) if m.kind in kinds)


def _towers(v: Variant, tp: int) -> Iterator[Matrix]:
    """The image and audio encoders."""
    vision = v.vision
    if not vision.layers:
        yield Matrix(vision.parameters)
    else:
        width, inner = vision.hidden_size, vision.intermediate_size
        yield Matrix(PATCH_VALUES * width)
        yield Matrix(POSITIONS * width)
        for _ in range(vision.layers):
            yield Matrix(3 * width * width // tp)
            yield Matrix(width * width // tp)
            yield Matrix(2 * inner * width // tp)
            yield Matrix(inner * width // tp)
        yield Matrix(width * v.hidden_size)
    if v.audio is not None:
        square = v.audio.hidden_size**2
        layers = [*(4 * [4 * square]), 3 * square, 2 * square, square, square, square]
        for _ in range(v.audio.layers):
            yield from (Matrix(size // tp) for size in layers)
        yield Matrix(max(0, v.audio.parameters - v.audio.layers * sum(layers)))


def _language_model(v: Variant, shards: Shards) -> Iterator[Matrix]:
    """Embeddings and the layers of the fullest pipeline stage."""
    count = v.layers.sliding + v.layers.full
    yield Matrix(v.vocab_size * v.hidden_size)
    yield Matrix(v.vocab_size * count * v.per_layer_input)
    yield Matrix(v.hidden_size * count * v.per_layer_input)
    period = count // v.layers.full
    shared = v.kv_shared_layers.sliding + v.kv_shared_layers.full
    for layer in range(-(-count // shards.pp)):
        full = (layer + 1) % period == 0
        wide = v.double_wide_mlp and layer >= count - shared
        yield from _layer(v, shards.tp, full=full, wide=wide, first=layer in (0, period - 1))


def _layer(v: Variant, tp: int, *, full: bool, wide: bool, first: bool) -> Iterator[Matrix]:
    """One decoder layer; its norms count as one tensor.

    The first of a kind builds the table of cosines and sines that all of that kind share.
    """
    head, kv_heads = (
        (v.head_dim.full, v.kv_heads.full) if full else (v.head_dim.sliding, v.kv_heads.sliding)
    )
    heads = v.attention_heads // tp
    inner = v.intermediate_size * (2 if wide else 1) // tp
    yield Matrix((heads + 2 * max(1, kv_heads // tp)) * head * v.hidden_size, "attention")
    yield Matrix(v.hidden_size * heads * head, "attention")
    if first:
        yield Matrix(v.max_context * head, "rotary")
    yield Matrix(2 * inner * v.hidden_size, "mlp")
    yield Matrix(v.hidden_size * inner, "mlp")
    if v.per_layer_input:
        yield Matrix(v.per_layer_input * v.hidden_size)
        yield Matrix(v.per_layer_input * v.hidden_size)
    if v.experts:
        width = v.experts.intermediate_size // tp
        yield Matrix(v.experts.count * v.hidden_size)
        yield Matrix(v.experts.count * 2 * width * v.hidden_size, "mlp")
        yield Matrix(v.experts.count * width * v.hidden_size, "mlp")
    yield Matrix(4 * v.hidden_size)


def _rotary_table(memory: Allocator, values: int) -> None:
    """A table of cosines and sines, and the blocks that computing it leaves unused."""
    half = values // 2 * FLOAT32
    passing = [memory.take(half) for _ in ("angles", "cosines", "sines")]
    memory.take(2 * half)
    for block in passing:
        memory.release(block)


def _draft(d: Draft, v: Variant, tp: int) -> Iterator[Matrix]:
    """The MTP assistant, which SGLang builds with K and V projections that it never uses."""
    yield Matrix(2 * v.hidden_size * d.hidden_size)
    yield Matrix(v.vocab_size * d.hidden_size)
    for count, head, kv_heads in _draft_layers(d.layers, v.head_dim, d.kv_heads):
        for _ in range(count):
            heads = d.attention_heads // tp
            yield Matrix((heads + 2 * max(1, kv_heads // tp)) * head * d.hidden_size)
            yield Matrix(d.hidden_size * heads * head)
            yield Matrix(2 * d.intermediate_size * d.hidden_size // tp)
            yield Matrix(d.intermediate_size * d.hidden_size // tp)
    yield Matrix(d.hidden_size * v.hidden_size)
    if d.ordered_vocabulary:
        yield Matrix(DRAFT_CENTROIDS * d.hidden_size)


def _draft_layers(
    layers: PerKind, head_dim: PerKind, kv_heads: PerKind
) -> tuple[tuple[int, int, int], ...]:
    """Count, head size and KV heads of each kind of layer."""
    return (
        (layers.sliding, head_dim.sliding, kv_heads.sliding),
        (layers.full, head_dim.full, kv_heads.full),
    )
