"""What ``micro.py`` times: the launches of a variant's decode step, fused and as stock has them.

A case makes copies of its tensors, so that weights come from memory and not from the L2 cache.
Without SGLang its launches are replaced by PyTorch's operations (``against`` says which).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

sys.path.insert(0, str(Path(__file__).parents[2]))

from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.table import Variant
from gemma4ctl.sglang_model.kernels import (
    attention,
    decode,
    experts,
    linear,
    norms,
    per_layer,
    reference,
)

EPS = 1e-6
BF16 = 2
DEVICE = "cuda"
STOCK_SPLITS = 8  # SGLang's default of --triton-attention-num-kv-splits
CONTEXTS = (128, 512, 2048, 8192, 32768)
LARGEST = 4 << 30  # bytes of the KV of a case
COLD = 320 << 20  # bytes of all copies together, several times the L2 cache
VARIANTS: dict[str, Variant] = dict(load().variants)
Calls = tuple[Callable[[], Any], Callable[[], Any]]


class Case(NamedTuple):
    """One kernel at one shape: bytes it has to read and write, and what makes (fused, stock)."""

    name: str
    bytes: int
    make: Callable[[int], Calls]  # of the copy's number

    @property
    def copies(self) -> int:
        """How many copies are more than the L2 cache holds."""
        return max(2, min(48, -(-COLD // self.bytes)))


class Product(NamedTuple):
    """A weight [N, K] (2N rows if ``gated``) and how often a decode step reads such a one."""

    name: str
    n: int
    k: int
    gated: bool
    count: int

    @property
    def bytes(self) -> int:
        """Of the weight."""
        return BF16 * self.n * self.k * (2 if self.gated else 1)


def products(v: Variant) -> list[Product]:
    """The products of one decode step on one GPU, without the experts."""
    hidden, heads = v.hidden_size, v.attention_heads
    found = []
    for kind in ("sliding", "full"):
        count, shared = getattr(v.layers, kind), getattr(v.kv_shared_layers, kind)
        head, kv = getattr(v.head_dim, kind), getattr(v.kv_heads, kind)
        rows = (heads + 2 * kv) * head
        found.append(Product(f"qkv {kind}", rows, hidden, False, count - shared))
        found.append(Product(f"q {kind}", heads * head, hidden, False, shared))
        found.append(Product(f"o {kind}", hidden, heads * head, False, count))
    layers = v.layers.sliding + v.layers.full
    wide = v.kv_shared_layers.sliding + v.kv_shared_layers.full if v.double_wide_mlp else 0
    for name, inner, count in (
        ("", v.intermediate_size, layers - wide),
        (" wide", 2 * v.intermediate_size, wide),
    ):
        found.append(Product(f"gate_up{name}", inner, hidden, True, count))
        found.append(Product(f"down{name}", hidden, inner, False, count))
    if p := v.per_layer_input:
        found.append(Product("per-layer gate", p, hidden, False, layers))
        found.append(Product("per-layer projection", hidden, p, False, layers))
        found.append(Product("per-layer inputs", layers * p, hidden, False, 1))
    if v.experts:
        found.append(Product("router", v.experts.count, hidden, False, layers))
    found.append(Product("output layer", v.vocab_size, hidden, False, 1))
    return [one for one in found if one.count]


def cases(v: Variant, rows: int) -> Iterator[Case]:
    """All kernels at the variant's shapes for a batch of ``rows``."""
    for product in products(v):
        if linear.small(torch.empty(rows, 1, dtype=torch.bfloat16)):
            yield Case(product.name, product.bytes, partial(_product, product, rows))
    hidden, moved = v.hidden_size, BF16 * rows * v.hidden_size
    yield Case("attention_tail", 4 * moved, partial(_attention_tail, hidden, rows))
    yield Case("layer_tail", 4 * moved, partial(_layer_tail, hidden, rows))
    if v.experts:
        if rows <= experts.LARGEST_BATCH:
            chosen, inner = v.experts.top_k * rows, v.experts.intermediate_size
            size, shape = BF16 * 3 * chosen * inner * hidden, (v.experts, hidden, rows)
            yield Case("experts", size, partial(_experts, *shape))
        yield Case("moe_attention_tail", 6 * moved, partial(_moe_attention_tail, hidden, rows))
        yield Case("moe_layer_tail", 5 * moved, partial(_moe_layer_tail, hidden, rows))
    if p := v.per_layer_input:
        size = 2 * BF16 * p * hidden + 4 * moved
        yield Case("per_layer_tail", size, partial(_per_layer_tail, hidden, p, rows))
    for kind in ("sliding", "full"):
        heads = (v.attention_heads, getattr(v.kv_heads, kind), getattr(v.head_dim, kind))
        size = BF16 * rows * (2 * heads[0] + 4 * heads[1]) * heads[2]
        yield Case(f"norm_rope_store {kind}", size, partial(_store, heads, rows))
        if getattr(v.kv_shared_layers, kind):
            yield Case(f"norm_rope_query {kind}", size, partial(_query, heads, rows))
    yield from decode_cases(v, rows, CONTEXTS)
    if rows == 1 and hidden <= linear.LONGEST_PROLOGUE and not v.experts:
        inner = next(one for one in products(v) if one.name == "gate_up")
        yield Case("attention_tail_gate_up", inner.bytes, partial(_deep, inner))


def random(number: int, *shape: int, spread: float = 1.0) -> torch.Tensor:
    """Normal bf16 values on the GPU; the same for the same number and shape."""
    generator = torch.Generator(DEVICE).manual_seed(number)
    made = torch.randn(*shape, generator=generator, device=DEVICE, dtype=torch.bfloat16)
    return made * spread


def _product(product: Product, rows: int, number: int) -> Calls:
    x = random(number, rows, product.k)
    weight = random(number, product.n * (1 + product.gated), product.k, spread=product.k**-0.5)
    if not product.gated:
        return partial(linear.linear, x, weight), partial(functional.linear, x, weight)
    ops = stock()
    return partial(linear.gate_up, x, weight), lambda: ops.gelu_and_mul(
        functional.linear(x, weight)
    )


def _attention_tail(hidden: int, rows: int, number: int) -> Calls:
    ops, x, old = stock(), random(number, rows, hidden), random(number + 1, rows, hidden)
    w, after = random(1, hidden), random(2, hidden)
    return (
        partial(norms.attention_tail, x, w, old, after, EPS),
        lambda: ops.add_norm(ops.norm(x, w), old, after),
    )


def _layer_tail(hidden: int, rows: int, number: int) -> Calls:
    ops, x, old = stock(), random(number, rows, hidden), random(number + 1, rows, hidden)
    w, after, scalar = random(1, hidden), random(2, hidden), random(3, 1)
    return (
        partial(norms.layer_tail, x, w, old, scalar, after, EPS),
        lambda: ops.norm(ops.tail(x, w, old, scalar), after),
    )


def _moe_attention_tail(hidden: int, rows: int, number: int) -> Calls:
    ops, x, old = stock(), random(number, rows, hidden), random(number + 1, rows, hidden)
    w = [random(seed, hidden) for seed in range(4)]

    def separate() -> None:
        ops.add_norm(ops.norm(x, w[0]), old, w[1])
        ops.norm(old, w[2])
        ops.norm(old, w[3])

    return partial(norms.moe_attention_tail, x, w[0], old, w[1], w[2], w[3], EPS), separate


def _moe_layer_tail(hidden: int, rows: int, number: int) -> Calls:
    ops, a, b = stock(), random(number, rows, hidden), random(number + 1, rows, hidden)
    old, scalar = random(number + 2, rows, hidden), random(3, 1)
    w = [random(seed, hidden) for seed in range(4)]
    return (
        partial(norms.moe_layer_tail, a, w[0], b, w[1], w[2], old, scalar, w[3], EPS),
        lambda: ops.norm(ops.dual_tail(a, w[0], b, w[1], w[2], old, scalar), w[3]),
    )


def _experts(config: Any, hidden: int, rows: int, number: int) -> Calls:
    ops, count, inner = stock(), config.count, config.intermediate_size
    gate_up = _expert_weights(count, 2 * inner, hidden)
    down = _expert_weights(count, hidden, inner)
    x = random(number, rows, hidden)
    order = torch.rand(rows, count, generator=torch.Generator().manual_seed(number)).argsort(1)
    ids = order[:, : config.top_k].int().contiguous().to(DEVICE)
    shares = torch.full(ids.shape, 1 / config.top_k, dtype=torch.float32, device=DEVICE)
    return (
        partial(experts.experts, x, shares, ids, gate_up, down),
        partial(ops.experts, x, shares, ids, gate_up, down),
    )


@cache
def _expert_weights(*shape: int) -> torch.Tensor:
    """All experts once: the copies choose different ones."""
    return random(5, *shape, spread=shape[-1] ** -0.5)


def _per_layer_tail(hidden: int, p: int, rows: int, number: int) -> Calls:
    ops, x, old = stock(), random(number, rows, hidden), random(number + 1, rows, hidden)
    w = [random(seed, hidden) for seed in range(3)]
    gate, projection = random(number, p, hidden, spread=0.02), random(number, hidden, p)
    inputs, scalar = random(number, rows, 2, p)[:, 1], random(3, 1)

    def separate() -> torch.Tensor:
        total = ops.norm(x, w[0]) + old
        gated = functional.gelu(functional.linear(total, gate), approximate="tanh") * inputs
        added = ops.norm(functional.linear(gated, projection), w[1])
        made: torch.Tensor = ops.norm((total + added) * scalar, w[2])
        return made

    fused = partial(
        per_layer.per_layer_tail,
        x, w[0], old, gate, inputs, projection, w[1], scalar, w[2], EPS,
    )  # fmt: skip
    return fused, separate


def _store(heads: tuple[int, int, int], rows: int, number: int) -> Calls:
    ops, (queries, kv, size) = stock(), heads
    sizes = [queries * size, kv * size, kv * size]
    qkv, w = random(number, rows, sum(sizes)), [random(seed, size) for seed in range(2)]
    pools = [random(number + seed, 4096, kv, size) for seed in range(2)]
    table, positions = _table(size), torch.arange(rows, device=DEVICE) * 7
    slots = positions + 1
    parts = qkv.split(sizes, dim=-1)

    def separate() -> None:
        q, k, v = parts
        ops.qkv_norm(q, k, v, *w, queries, kv, size)
        k = k.contiguous()  # stock's reshape of a slice copies it
        ops.rope(q.view(rows, -1, size), k.view(rows, -1, size), table, positions)
        ops.store(k, v.contiguous(), *pools, slots)

    return partial(
        attention.norm_rope_store, *parts, *w, table, positions, slots, *pools, EPS, keep=False
    ), separate


def _query(heads: tuple[int, int, int], rows: int, number: int) -> Calls:
    ops, (queries, kv, size) = stock(), heads
    q, w = random(number, rows, queries * size), random(1, size)
    table, positions = _table(size), torch.arange(rows, device=DEVICE) * 7

    def separate() -> None:
        ops.qkv_norm(q, None, None, w, None, queries, kv, size)
        dummy = torch.zeros_like(q[:, : kv * size])
        ops.rope(q.view(rows, -1, size), dummy.view(rows, -1, size), table, positions)

    return partial(attention.norm_rope_query, q, w, table, positions, EPS), separate


def decode_cases(v: Variant, rows: int, contexts: Iterable[int], longer: int = 0) -> Iterator[Case]:
    """Attention of ``rows`` requests at the variant's layers; one has ``longer`` tokens, if any."""
    for kind in ("sliding", "full"):
        heads = (v.attention_heads, getattr(v.kv_heads, kind), getattr(v.head_dim, kind))
        window = v.sliding_window - 1 if kind == "sliding" else None
        for context in sorted({min(one, window or one) for one in contexts}):
            lengths, name = [context] * rows, f"decode {kind} {context}"
            if longer:
                lengths[rows // 2] = min(longer, window or longer)
                name += f" and {lengths[rows // 2]}"
            size = 2 * BF16 * sum(lengths) * heads[1] * heads[2]
            if size <= LARGEST:
                yield Case(name, size, partial(_decode, heads, window, lengths))


def _decode(
    heads: tuple[int, int, int], window: int | None, lengths: Sequence[int], number: int
) -> Calls:
    """Requests of these lengths, each in one piece of the pools, as prefill leaves them."""
    (queries, kv, size), rows = heads, len(lengths)
    q = random(number, rows, queries, size, spread=size**-0.5)
    pools = [random(number + seed, sum(lengths), kv, size) for seed in range(2)]
    pieces = list(torch.arange(sum(lengths)).split(list(lengths)))
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(number))
    counts = torch.tensor(lengths)[order]
    starts = torch.cat((torch.zeros(1, dtype=torch.int64), counts.cumsum(0))).int()
    slots = torch.cat([pieces[request] for request in order])
    batch = starts.to(DEVICE), slots.to(DEVICE)
    return (
        partial(decode.attend, q, *pools, *batch, 1.0, window),
        stock().decode(q, *pools, *batch),
    )


def _deep(product: Product, number: int) -> Calls:
    ops, x, old = stock(), random(number, 1, product.k), random(number + 1, 1, product.k)
    w, after = random(1, product.k), random(2, product.k)
    weight = random(number, 2 * product.n, product.k, spread=product.k**-0.5)

    def separate() -> torch.Tensor:
        hidden = ops.add_norm(ops.norm(x, w), old, after)
        made: torch.Tensor = ops.gelu_and_mul(functional.linear(hidden, weight))
        return made

    return partial(linear.attention_tail_gate_up, x, w, old, after, weight, EPS), separate


def _table(size: int) -> torch.Tensor:
    angles = torch.arange(4096, device=DEVICE)[:, None] * torch.linspace(
        1, 0, size // 2, device=DEVICE
    )
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


@cache
def stock() -> Any:
    """SGLang's launches by what they do; PyTorch's operations where it or its GPU is missing."""
    if DEVICE == "cpu":
        return _pytorch()
    try:
        from sgl_kernel import fused_add_rmsnorm, rmsnorm
        from sglang.jit_kernel.activation import gelu_tanh_and_mul
        from sglang.jit_kernel.kvcache import store_cache
        from sglang.jit_kernel.rope import apply_rope_with_cos_sin_cache_inplace as rope
        from sglang.kernels.ops.attention.decode_attention import decode_attention_fwd
        from sglang.kernels.ops.attention.metadata import get_num_kv_splits_triton
        from sglang.kernels.ops.layernorm import gemma4_fused_ops as ops
        from sglang.srt.layers.moe.moe_runner import MoeRunnerConfig
        from sglang.srt.layers.moe.moe_runner.triton_utils import (
            fused_moe,
            fused_moe_triton_config,
        )
        from sglang.srt.layers.moe.topk import StandardTopKOutput
    except ImportError:
        return _pytorch()

    def add_norm(x: torch.Tensor, old: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        fused_add_rmsnorm(x, old, w, EPS)
        return x

    def gelu_and_mul(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x[:, : x.shape[1] // 2])
        gelu_tanh_and_mul(x, out)
        return out

    def store(k: torch.Tensor, v: torch.Tensor, k_pool: Any, v_pool: Any, slots: Any) -> None:
        store_cache(k, v, k_pool.flatten(1), v_pool.flatten(1), slots)

    def attend(q: Any, k_pool: Any, v_pool: Any, starts: Any, slots: Any) -> Callable[[], Any]:
        (batch, queries, size), most, kv = q.shape, STOCK_SPLITS, k_pool.shape[1]
        out, lengths = torch.empty_like(q), starts.diff()
        logits = torch.empty(batch, queries, most, size, dtype=torch.float32, device=DEVICE)
        sums = torch.empty(batch, queries, most, dtype=torch.float32, device=DEVICE)
        splits = torch.empty(batch, dtype=torch.int32, device=DEVICE)
        cores = torch.cuda.get_device_properties(DEVICE).multi_processor_count
        get_num_kv_splits_triton[(1,)](  # once a step, for all layers
            splits, lengths, batch, 1, queries, kv, most, cores, MAX_NUM_SEQ=256
        )

        def split_and_merge() -> torch.Tensor:
            decode_attention_fwd(
                q, k_pool, v_pool, out, starts, slots, logits, sums, splits, most,
                1.0, 1.0, 1.0, use_pdl=True,
            )  # fmt: skip
            return out

        return split_and_merge

    # What SGLang's experts ask of a server: two settings, and where their output is to be.
    settings = SimpleNamespace(
        enable_fused_moe_sum_all_reduce=False, enable_deterministic_inference=False
    )
    for module in (fused_moe, fused_moe_triton_config):
        module.get_server_args = lambda: settings
    fused_moe.get_tp_group = lambda: None
    fused_moe.is_allocation_symmetric = lambda: False
    fused_moe.use_symmetric_memory = lambda *group, disabled: nullcontext()

    def many(x: torch.Tensor, shares: Any, ids: Any, gate_up: Any, down: Any) -> Any:
        chosen = StandardTopKOutput(shares, ids, shares)
        runner = MoeRunnerConfig(activation="gelu", inplace=False)
        return fused_moe.fused_experts(x, gate_up, down, chosen, runner)

    return SimpleNamespace(
        against="sglang",
        experts=many,
        decode=attend,
        norm=lambda x, w: rmsnorm(x, w, EPS),
        add_norm=add_norm,
        tail=ops.gemma_rmsnorm_residual_scalar,
        dual_tail=ops.gemma_dual_rmsnorm_residual_scalar,
        gelu_and_mul=gelu_and_mul,
        qkv_norm=ops.gemma_qkv_rmsnorm,
        rope=lambda q, k, table, at: rope(
            q=q, k=k, cos_sin_cache=table, positions=at, is_neox=True
        ),
        store=store,
    )


def _pytorch() -> Any:
    def gelu_and_mul(x: torch.Tensor) -> torch.Tensor:
        gate, up = x.chunk(2, dim=-1)
        return functional.gelu(gate, approximate="tanh") * up

    def qkv_norm(q: Any, k: Any, v: Any, q_w: Any, k_w: Any, *shape: int) -> None:
        for x, w in ((q, q_w), (k, k_w), (v, None)):
            if x is not None:
                heads = x.unflatten(-1, (-1, shape[-1]))
                x.copy_(functional.rms_norm(heads, (shape[-1],), w, EPS).flatten(1))

    def rope(q: Any, k: Any, table: Any, at: Any) -> None:
        for x in (q, k):
            x.copy_(reference.rotated(x, table, at))

    def store(k: Any, v: Any, k_pool: Any, v_pool: Any, slots: Any) -> None:
        k_pool[slots] = k.view(len(slots), *k_pool.shape[1:])
        v_pool[slots] = v.view(len(slots), *v_pool.shape[1:])

    def norm(x: Any, w: Any) -> Any:
        return functional.rms_norm(x, w.shape, w, EPS)

    def many(x: Any, shares: Any, ids: Any, gate_up: Any, down: Any) -> Any:
        gate, up = (gate_up[ids.long()] @ x[:, None, :, None]).squeeze(-1).chunk(2, dim=-1)
        made = down[ids.long()] @ (functional.gelu(gate) * up)[..., None]
        return (made.squeeze(-1) * shares[..., None]).sum(1).to(x.dtype)

    def attend(q: Any, k_pool: Any, v_pool: Any, starts: Any, slots: Any) -> Callable[[], Any]:
        counts = starts.diff().tolist()
        rows = pad_sequence(slots.split(counts), batch_first=True)
        present = torch.arange(rows.shape[1], device=DEVICE) < starts.diff()[:, None]
        mask = None if present.all() else present[:, None, None]

        def gathered() -> torch.Tensor:
            k, v = (pool[rows].transpose(1, 2) for pool in (k_pool, v_pool))
            made: torch.Tensor = functional.scaled_dot_product_attention(
                q[:, :, None], k, v, mask, scale=1.0, enable_gqa=True
            )
            return made[:, :, 0]

        return gathered

    return SimpleNamespace(
        against="pytorch",
        experts=many,
        decode=attend,
        norm=norm,
        add_norm=lambda x, old, w: norm(old.add_(x), w),
        tail=lambda x, w, old, scalar: (norm(x, w) + old) * scalar,
        dual_tail=lambda a, wa, b, wb, w, old, scalar: (
            (norm(norm(a, wa) + norm(b, wb), w) + old) * scalar
        ),
        gelu_and_mul=gelu_and_mul,
        qkv_norm=qkv_norm,
        rope=rope,
        store=store,
    )
