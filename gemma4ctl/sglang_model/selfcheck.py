"""Run each kernel against its plain PyTorch reference, on the shapes of the model that starts.

It answers what a table cannot: whether this Triton compiles the kernels for this GPU, and whether
they compute the right thing there. The launches are those that serving needs anyway, so what
compiles here need not be compiled later. A part of which a kernel fails is left to SGLang.

The bounds. A kernel and its reference round at the same places but add in another order, which
moves fp32 values by some 1e-6 of their size. Now and then one of them then rounds to the other
neighbour: it differs by one unit in the last place, at most ``eps`` (2^-7 for bf16) of the value,
and what is computed from it by as much again. In a row at most four roundings follow each other, so
no value of a right kernel is off by more than ``4 * eps`` of the largest. Such values are few (1
in 1,000 for bf16), so the norm of all differences stays below ``eps`` of the result's norm, which
would need every value to round the other way. On the CPU, where bf16 is exact, the largest share
measured is 2e-4. In fp32 nothing is rounded that coarsely, and the order of sums is all the
difference: ``SUMS`` takes the place of ``eps``. What is wrong, even for one token or one column, is
off by its whole size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gemma4ctl.sglang_model.kernels import (
    attention,
    decode,
    experts,
    linear,
    logits,
    norms,
    per_layer,
    reference,
)

EPS = 0.1  # of the norms: large enough that a kernel without it fails
SCALAR = 0.7
TOKENS = (1, linear.SMALL_BATCH, 33)  # up to and above what counts as a small batch
EXPERTS = 4
SLOTS = 256
CONTEXT = 700
VOCABULARY = 5 * logits.BLOCK // 2  # a multiple of 16 as the models' are, not of the block
SOFTCAP = 30.0
ROUNDINGS = 4  # in a row, at most
SUMS = 2**-18  # of fp32 values in another order


class Shape(NamedTuple):
    """Sizes of one layer on this rank.

    ``per_layer`` is 0 without per-layer embeddings, ``experts``, the width of one, without any.
    ``window`` is the tokens of the sliding window, -1 in full layers.
    """

    hidden: int
    per_layer: int
    heads: int
    kv_heads: int
    head: int
    experts: int
    window: int = -1


class Product(NamedTuple):
    """A weight [rows, width] of a linear layer; ``gated``: gate and up of an MLP."""

    rows: int
    width: int
    gated: bool


class Check(NamedTuple):
    """A call of a kernel and of its reference with the same arguments."""

    part: str
    kernel: Callable[..., Any]
    reference: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any] = {}
    undefined: tuple[int, ...] = ()  # of the tensors: those that a call may leave in any state

    @property
    def name(self) -> str:
        """The kernel's name."""
        return self.reference.__name__

    @property
    def sizes(self) -> str:
        """Those of its matrices, each once."""
        shapes = {tuple(one.shape): None for one in _tensors(self.arguments) if one.dim() > 1}
        return " ".join("x".join(map(str, shape)) for shape in shapes)

    @property
    def title(self) -> str:
        """The kernel's name and sizes."""
        return f"{self.name} {self.sizes}"


class Difference(NamedTuple):
    """How far results are from those of the reference, and what is wrong with them.

    ``norm`` of all differences as a share of the results' norm, and the ``largest`` as a share of
    the largest value: within ``bound`` and ``ROUNDINGS`` times that where ``problem`` is None.
    Of several tensors it is the worst. Infinite where values cannot be compared.
    """

    norm: float = 0.0
    largest: float = 0.0
    problem: str | None = None


def problems(
    shapes: Iterable[Shape],
    products: Iterable[Product],
    dtype: torch.dtype,
    device: torch.device,
    parts: Iterable[str],
) -> dict[str, list[str]]:
    """What is wrong, part by part; a part that is not in it is right."""
    found: dict[str, list[str]] = {}
    for check in checks(shapes, products, Tensors(dtype, device), TOKENS):
        if check.part in parts and (problem := compare(check).problem) is not None:
            found.setdefault(check.part, []).append(problem)
    return found


class Tensors:
    """Makes random tensors, and leaves the global generator alone."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._generator = torch.Generator(device=device).manual_seed(0)

    def normal(self, *size: int, spread: float = 1.0, dtype: torch.dtype | None = None) -> Tensor:
        """Normal values."""
        kind = dtype or self.dtype
        return torch.randn(size, generator=self._generator, device=self.device, dtype=kind) * spread

    def weight(self, rows: int, columns: int) -> Tensor:
        """A matrix that keeps the size of what it is multiplied with."""
        return self.normal(rows, columns, spread=columns**-0.5)

    def scalar(self) -> Tensor:
        """A layer's scalar [1]."""
        return torch.full((1,), SCALAR, dtype=self.dtype, device=self.device)

    def angles(self, head: int) -> Tensor:
        """A table of cosines and sines [SLOTS, head], as RoPE keeps it."""
        angle = self.normal(SLOTS, head // 2, dtype=torch.float32)
        return torch.cat([angle.cos(), angle.sin()], dim=-1)

    def places(self, tokens: int) -> Tensor:
        """Distinct slots or positions [tokens] below SLOTS."""
        return torch.arange(1, tokens + 1, device=self.device) * 7 % SLOTS


def checks(
    shapes: Iterable[Shape], products: Iterable[Product], make: Tensors, batches: Sequence[int]
) -> Iterator[Check]:
    """All checks of a model, one kernel after the other; linear layers have small batches only."""
    for shape in shapes:
        for tokens in batches:
            yield from _norms(shape, tokens, make)
            if shape.per_layer:
                yield from _per_layer(shape, tokens, make)
            yield from _attention(shape, tokens, make)
            yield from _decode(shape, tokens, make)
            if shape.experts and tokens <= experts.LARGEST_BATCH:
                yield from _experts(shape, tokens, make)
        yield from _decode(shape, decode.crowd(shape.kv_heads, make.device), make)
    for product in products:
        for tokens in (1, linear.SMALL_BATCH):
            yield from _product(product, tokens, make)
    for tokens in batches:
        yield from _logits(tokens, make)


def _norms(shape: Shape, tokens: int, make: Tensors) -> Iterator[Check]:
    def rows() -> Tensor:
        return make.normal(tokens, shape.hidden)

    def weight() -> Tensor:
        return make.normal(shape.hidden)

    yield Check("norms", norms.rms_norm, reference.rms_norm, (rows(), weight(), EPS))
    last = (rows(), weight(), rows(), make.scalar(), weight(), EPS)
    yield Check("norms", norms.layer_tail, reference.layer_tail, last)
    if not shape.experts:
        after = (rows(), weight(), rows(), weight(), EPS)
        yield Check("norms", norms.attention_tail, reference.attention_tail, after)
        return
    three = (rows(), weight(), rows(), weight(), weight(), weight(), EPS)
    yield Check("norms", norms.moe_attention_tail, reference.moe_attention_tail, three)
    two = (rows(), weight(), rows(), weight(), weight(), rows(), make.scalar(), weight(), EPS)
    yield Check("norms", norms.moe_layer_tail, reference.moe_layer_tail, two)


def _per_layer(shape: Shape, tokens: int, make: Tensors) -> Iterator[Check]:
    hidden, size = shape.hidden, shape.per_layer
    tail = (
        make.normal(tokens, hidden),
        make.normal(hidden),
        make.normal(tokens, hidden),
        make.weight(size, hidden),
        make.normal(tokens, 2, size)[:, 1],  # one layer of several, as the model passes it
        make.weight(hidden, size),
        make.normal(hidden),
        make.scalar(),
        make.normal(hidden),
        EPS,
    )
    plain = reference.per_layer_tail
    yield Check("norms", partial(per_layer.per_layer_tail, small_linears=False), plain, tail)
    if tokens <= linear.SMALL_BATCH:
        yield Check("linear", partial(per_layer.per_layer_tail, small_linears=True), plain, tail)
    projected, norm = make.normal(tokens, 2 * size), make.normal(size)
    scales = (EPS, 0.5, 0.7)
    inputs = (projected, make.normal(tokens, 2 * size), norm, *scales)
    yield Check("norms", per_layer.per_layer_inputs, reference.per_layer_inputs, inputs)
    table = make.normal(SLOTS // 2, 2 * size)  # half of the tokens are not in it
    yield Check(
        "norms",
        per_layer.per_layer_inputs_of_tokens,
        reference.per_layer_inputs_of_tokens,
        (projected, make.places(tokens), table, 4.0, norm, *scales),
    )


def _attention(shape: Shape, tokens: int, make: Tensors) -> Iterator[Check]:
    q_size, kv_size = shape.heads * shape.head, shape.kv_heads * shape.head
    norm, table, places = make.normal(shape.head), make.angles(shape.head), make.places(tokens)
    query = (make.normal(tokens, q_size), norm, table, places, EPS)
    yield Check("attention", attention.norm_rope_query, reference.norm_rope_query, query)
    qkv = make.normal(tokens, q_size + 2 * kv_size)
    pools = (SLOTS, shape.kv_heads, shape.head)
    store = (
        *qkv.split([q_size, kv_size, kv_size], dim=-1),
        norm,
        make.normal(shape.head),
        table,
        places,
        places.flip(0),
        make.normal(*pools),
        make.normal(*pools),
        EPS,
    )
    kernel, plain = attention.norm_rope_store, reference.norm_rope_store
    yield Check("attention", kernel, plain, store, {"keep": True})
    yield Check("attention", kernel, plain, store, {"keep": False}, undefined=(1, 2))


def _decode(shape: Shape, requests: int, make: Tensors) -> Iterator[Check]:
    """Requests of all lengths up to the window, or to some hundred tokens."""
    if not decode.supported(shape.heads, shape.kv_heads, shape.head):
        return
    longest = None if shape.window < 0 else shape.window
    lengths = [(longest or CONTEXT) * number // requests for number in range(1, requests + 1)]
    ends = [0, *accumulate(lengths)]
    starts = torch.tensor(ends, dtype=torch.int32, device=make.device)
    slots = torch.arange(ends[-1], device=make.device) * 7 % SLOTS
    q = make.normal(requests, shape.heads, shape.head, spread=shape.head**-0.5)
    pools = (make.normal(SLOTS, shape.kv_heads, shape.head) for _ in "kv")
    arguments = (q, *pools, starts, slots, 1.0, longest)
    yield Check("decode", decode.attend, reference.attend, arguments)


def _experts(shape: Shape, tokens: int, make: Tensors) -> Iterator[Check]:
    """A few experts of the model's width, two a token."""
    chosen = torch.arange(2 * tokens, device=make.device, dtype=torch.int32).view(-1, 2) % EXPERTS
    arguments = (
        make.normal(tokens, shape.hidden),
        make.normal(tokens, 2, dtype=torch.float32),
        chosen,
        make.weight(EXPERTS * 2 * shape.experts, shape.hidden).unflatten(0, (EXPERTS, -1)),
        make.weight(EXPERTS * shape.hidden, shape.experts).unflatten(0, (EXPERTS, -1)),
    )
    yield Check("experts", experts.experts, reference.experts, arguments)


def _product(product: Product, tokens: int, make: Tensors) -> Iterator[Check]:
    x, weight = make.normal(tokens, product.width), make.weight(product.rows, product.width)
    if not product.gated:
        yield Check("linear", linear.linear, reference.linear, (x, weight))
        return
    yield Check("linear", linear.gate_up, reference.gate_up, (x, weight))
    norm, after = make.normal(product.width), make.normal(product.width)
    tail = (x, norm, make.normal(tokens, product.width), after, weight, EPS)
    plain = reference.attention_tail_gate_up
    yield Check("linear", linear.attention_tail_gate_up, plain, tail)


def _logits(tokens: int, make: Tensors) -> Iterator[Check]:
    """Logits about as large as the cap, in a buffer and not."""
    made = make.normal(tokens, VOCABULARY, spread=SOFTCAP)
    buffer = make.normal(tokens, VOCABULARY, dtype=torch.float32)
    yield Check("logits", logits.softcap, reference.softcap, (made, SOFTCAP))
    yield Check("logits", logits.softcap, reference.softcap, (made, SOFTCAP, buffer))


def compare(check: Check) -> Difference:
    """What differs between a kernel and its reference, in results and in what they write."""
    try:
        expected = _run(check.reference, check)
        found = _run(check.kernel, check)
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return Difference(inf, inf, f"{check.title}: {reason}")
    arguments = len(list(_tensors(check.arguments)))
    worst = Difference()
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        if number in check.undefined:
            continue
        off = difference(one, other)
        if off.problem is not None:
            made = number - arguments
            which = f"argument {number}" if made < 0 else f"result {made}"
            return off._replace(problem=f"{check.title}: {which} {off.problem}")
        worst = Difference(max(worst.norm, off.norm), max(worst.largest, off.largest))
    return worst


def bound(dtype: torch.dtype) -> float:
    """What rounding may change of a result of this type at most, as a share of its norm."""
    return max(torch.finfo(dtype).eps, SUMS)


def difference(found: Tensor, expected: Tensor) -> Difference:
    """How far a tensor is off, which is a problem beyond rounding; NaN counts as off."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return Difference(inf, inf, f"is {found.dtype} {tuple(found.shape)}")
    if torch.equal(found, expected):
        return Difference()
    if not found.is_floating_point():
        return Difference(inf, inf, "differs")
    allowed = bound(expected.dtype)
    right = expected.float()
    off = (found.float() - right).abs()
    norm = float(off.norm() / right.norm().clamp_min(1e-30))
    largest = float(off.max() / right.abs().max().clamp_min(1e-30))
    if norm <= allowed and largest <= ROUNDINGS * allowed:
        return Difference(norm, largest)
    worst = int(off.nan_to_num(torch.inf).argmax())
    place = [int(i) for i in torch.unravel_index(torch.tensor(worst), off.shape)]
    one, other = float(found.flatten()[worst]), float(right.flatten()[worst])
    return Difference(
        norm,
        largest,
        f"is off by {norm:.2%} of its norm ({allowed:.2%} allowed), a value by {largest:.2%} of "
        f"the largest ({ROUNDINGS * allowed:.2%}): {one:.4g} for {other:.4g} at {place}",
    )


def _run(function: Callable[..., Any], check: Check) -> list[Tensor]:
    """The arguments after a call, which may have written to them, and then its results."""
    own = [_copy(item) if isinstance(item, Tensor) else item for item in check.arguments]
    settle(own[0].device)
    result = function(*own, **check.options)
    settle(own[0].device)
    results = result if isinstance(result, tuple) else (result,)
    return [*_tensors(own), *_tensors(results)]


def settle(device: torch.device) -> None:
    """Wait for the GPU: kernels read weights before the launch that wrote them need have ended."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _tensors(items: Iterable[Any]) -> Iterator[Tensor]:
    return (item for item in items if isinstance(item, Tensor))


def _copy(tensor: Tensor) -> Tensor:
    """A copy with the same strides."""
    whole = torch.empty_strided(
        tensor.size(), tensor.stride(), dtype=tensor.dtype, device=tensor.device
    )
    return whole.copy_(tensor)
