"""Run each kernel against its plain PyTorch reference, on the shapes of the model that starts.

It answers what a table cannot: whether this Triton compiles the kernels for this GPU, and whether
they compute the right thing there. The launches are those that serving needs anyway, so what
compiles here need not be compiled later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gemma4ctl.sglang_model.kernels import attention, experts, linear, norms, per_layer, reference

EPS = 1e-6
TOKENS = (1, linear.SMALL_BATCH, 33)  # up to and above what counts as a small batch
EXPERTS = 4
ROWS = 512  # of the weights of linears: the real ones would take memory
SLOTS = 256
LARGEST_ERROR = 0.02  # of a result's norm; bfloat16 keeps 8 bits

Check = tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Shape(NamedTuple):
    """Sizes of one layer on this rank.

    ``per_layer`` is 0 without per-layer embeddings, ``experts``, the width of one, without any.
    """

    hidden: int
    per_layer: int
    heads: int
    kv_heads: int
    head: int
    experts: int


def problem(
    shapes: Iterable[Shape], dtype: torch.dtype, device: torch.device, parts: tuple[str, ...]
) -> str | None:
    """What is wrong with the first kernel that fails or differs; None when all are right."""
    for shape in shapes:
        make = _Make(dtype, device)
        for tokens in TOKENS:
            for check in _checks(shape, tokens, parts, make):
                if (found := _compare(*check)) is not None:
                    return found
    return None


class _Make:
    """Random tensors that leave the global generator alone."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._generator = torch.Generator(device=device).manual_seed(0)

    def normal(self, *size: int, spread: float = 1.0, dtype: torch.dtype | None = None) -> Tensor:
        made = torch.randn(size, generator=self._generator, device=self.device, dtype=torch.float32)
        return (made * spread).to(dtype or self.dtype)

    def weight(self, rows: int, columns: int) -> Tensor:
        return self.normal(rows, columns, spread=columns**-0.5)

    def angles(self, head: int) -> Tensor:
        """A table of cosines and sines [SLOTS, head], as RoPE keeps it."""
        angle = self.normal(SLOTS, head // 2, dtype=torch.float32)
        return torch.cat([angle.cos(), angle.sin()], dim=-1)

    def places(self, tokens: int) -> Tensor:
        """Distinct slots or positions [tokens] below SLOTS."""
        return torch.arange(1, tokens + 1, device=self.device) * 7 % SLOTS


def _checks(shape: Shape, tokens: int, parts: tuple[str, ...], make: _Make) -> Iterator[Check]:
    yield from _norms(shape, tokens, make)
    if shape.per_layer:
        yield from _per_layer(shape, tokens, make)
    if "attention" in parts:
        yield from _attention(shape, tokens, make)
    if "linear" in parts and tokens <= linear.SMALL_BATCH:
        yield from _linear(shape, tokens, make)
    if "experts" in parts and shape.experts and tokens <= experts.LARGEST_BATCH:
        yield from _experts(shape, tokens, make)


def _experts(shape: Shape, tokens: int, make: _Make) -> Iterator[Check]:
    """A few experts of the model's width, two a token."""
    chosen = torch.arange(2 * tokens, device=make.device, dtype=torch.int32).view(-1, 2) % EXPERTS
    arguments = (
        make.normal(tokens, shape.hidden),
        make.normal(tokens, 2, dtype=torch.float32),
        chosen,
        make.weight(EXPERTS * 2 * shape.experts, shape.hidden).unflatten(0, (EXPERTS, -1)),
        make.weight(EXPERTS * shape.hidden, shape.experts).unflatten(0, (EXPERTS, -1)),
    )
    yield experts.experts, reference.experts, arguments, {}


def _linear(shape: Shape, tokens: int, make: _Make) -> Iterator[Check]:
    x, residual = make.normal(tokens, shape.hidden), make.normal(tokens, shape.hidden)
    weight = make.weight(ROWS, shape.hidden)
    norm, after = make.normal(shape.hidden), make.normal(shape.hidden)
    yield linear.linear, reference.linear, (x, weight), {}
    yield linear.gate_up, reference.gate_up, (x, weight), {}
    tail = (x, norm, residual, after, weight, EPS)
    yield linear.attention_tail_gate_up, _attention_tail_gate_up, tail, {}


def _attention_tail_gate_up(
    x: Tensor, weight: Tensor, residual: Tensor, after: Tensor, gate_up: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    hidden, total = reference.attention_tail(x, weight, residual, after, eps)
    return reference.gate_up(hidden, gate_up), total


def _norms(shape: Shape, tokens: int, make: _Make) -> Iterator[Check]:
    def rows() -> Tensor:
        return make.normal(tokens, shape.hidden)

    def weight() -> Tensor:
        return make.normal(shape.hidden)

    scalar = make.normal(1)
    yield norms.rms_norm, reference.rms_norm, (rows(), weight(), EPS), {}
    last = (rows(), weight(), rows(), scalar, weight(), EPS)
    yield norms.layer_tail, reference.layer_tail, last, {}
    if not shape.experts:
        after = (rows(), weight(), rows(), weight(), EPS)
        yield norms.attention_tail, reference.attention_tail, after, {}
        return
    three = (rows(), weight(), rows(), weight(), weight(), weight(), EPS)
    yield norms.moe_attention_tail, reference.moe_attention_tail, three, {}
    two = (rows(), weight(), rows(), weight(), weight(), rows(), scalar, weight(), EPS)
    yield norms.moe_layer_tail, reference.moe_layer_tail, two, {}


def _per_layer(shape: Shape, tokens: int, make: _Make) -> Iterator[Check]:
    hidden, size = shape.hidden, shape.per_layer
    strided = make.normal(tokens, 2, size)[:, 1]  # one layer of several, as the model passes it
    tail = (
        make.normal(tokens, hidden),
        make.normal(hidden),
        make.normal(tokens, hidden),
        make.weight(size, hidden),
        strided,
        make.weight(hidden, size),
        make.normal(hidden),
        make.normal(1),
        make.normal(hidden),
        EPS,
    )
    yield per_layer.per_layer_tail, reference.per_layer_tail, tail, {}
    inputs = (
        make.normal(tokens, 2 * size),
        make.normal(tokens, 2 * size),
        make.normal(size),
        EPS,
        0.5,
        0.7,
    )
    yield per_layer.per_layer_inputs, reference.per_layer_inputs, inputs, {}
    of_tokens = (
        inputs[0],
        make.places(tokens),
        make.normal(SLOTS // 2, 2 * size),  # half of the tokens are not in the table
        4.0,
        *inputs[2:],
    )
    yield (
        per_layer.per_layer_inputs_of_tokens,
        reference.per_layer_inputs_of_tokens,
        of_tokens,
        {},
    )


def _attention(shape: Shape, tokens: int, make: _Make) -> Iterator[Check]:
    q_size, kv_size = shape.heads * shape.head, shape.kv_heads * shape.head
    norm, table, places = make.normal(shape.head), make.angles(shape.head), make.places(tokens)
    query = (make.normal(tokens, q_size), norm, table, places, EPS)
    yield attention.norm_rope_query, reference.norm_rope_query, query, {}
    for keep in (True, False):
        store = (
            make.normal(tokens, q_size),
            make.normal(tokens, kv_size),
            make.normal(tokens, kv_size),
            norm,
            make.normal(shape.head),
            table,
            places,
            places.flip(0),
            make.normal(SLOTS, shape.kv_heads, shape.head),
            make.normal(SLOTS, shape.kv_heads, shape.head),
            EPS,
        )
        yield attention.norm_rope_store, reference.norm_rope_store, store, {"keep": keep}


def _compare(
    kernel: Callable[..., Any],
    plain: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> str | None:
    """What differs between a kernel and its reference, in results and in what they write."""
    name = plain.__name__.removeprefix("_")
    expected = _run(plain, arguments, options)
    try:
        found = _run(kernel, arguments, options)
    except Exception as error:
        return f"{name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    keep = options.get("keep", True)
    for position, (one, other) in enumerate(zip(found, expected, strict=True)):
        if not keep and position in (1, 2):
            continue  # k and v, which a launch that does not keep them may leave in any state
        if not error_of(one, other) <= LARGEST_ERROR:
            return f"{name} differs from its reference by {error_of(one, other):.1%}"
    return None


def _run(
    function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
) -> list[Tensor]:
    """The arguments after a call, which may have written to them, and then its results."""
    own = [_copy(item) if isinstance(item, Tensor) else item for item in arguments]
    result = function(*own, **options)
    results = result if isinstance(result, tuple) else (result,)
    return [item for item in (*own, *results) if isinstance(item, Tensor)]


def _copy(tensor: Tensor) -> Tensor:
    """A copy with the same strides."""
    whole = torch.empty_strided(
        tensor.size(), tensor.stride(), dtype=tensor.dtype, device=tensor.device
    )
    return whole.copy_(tensor)


def error_of(found: Tensor, expected: Tensor) -> float:
    """The difference's norm as a share of the expected tensor's; NaN counts as wrong."""
    difference = (found.float() - expected.float()).norm()
    return float(difference / expected.float().norm().clamp_min(1e-9))
