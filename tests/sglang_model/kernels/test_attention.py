"""Norm, rotation and KV store in one launch against PyTorch; slots, pools and what stays."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.sglang_model.kernels import attention, reference

from .tensors import DEVICE, EPS, TYPES, agree, random, weight

POSITIONS, SLOTS = 600, 64
# (query heads, KV heads, head dimension) of E2B and 26B-A4B at TP 8, sliding and full
LAYOUTS = ((8, 1, 256), (8, 1, 512), (2, 2, 256), (4, 2, 512))


def rotary_table(head_dim: int, angles: int, base: float) -> torch.Tensor:
    """[positions, head_dim] fp32; only ``angles`` of the head_dim / 2 pairs turn."""
    exponents = torch.arange(angles, dtype=torch.float32) * 2 / head_dim
    frequencies = torch.zeros(head_dim // 2)
    frequencies[:angles] = base**-exponents
    turned = torch.arange(POSITIONS, dtype=torch.float32)[:, None] * frequencies
    return torch.cat((turned.cos(), turned.sin()), dim=-1).to(DEVICE)


def table(head_dim: int) -> torch.Tensor:
    full = head_dim == 512  # a quarter of the pairs turns in full layers
    return rotary_table(head_dim, head_dim // (8 if full else 2), 1e6 if full else 1e4)


class Layer:
    """A fused QKV product's views, pools with another value in every row, slots and positions."""

    def __init__(
        self, tokens: int, q_heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype
    ) -> None:
        self.sizes = (q_heads * head_dim, kv_heads * head_dim, kv_heads * head_dim)
        self.qkv = random(tokens, sum(self.sizes), dtype=dtype, scale=3)
        self.pools = tuple(
            random(SLOTS, kv_heads, head_dim, dtype=dtype, seed=seed) for seed in (8, 9)
        )
        self.weights = weight(head_dim, dtype), weight(head_dim, dtype, 5)
        generator = torch.Generator().manual_seed(tokens)
        self.positions = torch.randint(POSITIONS, (tokens,), generator=generator).to(DEVICE)
        self.slots = torch.randperm(SLOTS, generator=generator)[:tokens].to(DEVICE)
        self.table = table(head_dim)

    def run(self, of: object, *, keep: bool, **changed: torch.Tensor) -> list[torch.Tensor]:
        """The QKV buffer and both pools after ``of.norm_rope_store``; ours stay as they are."""
        qkv, k_pool, v_pool = self.qkv.clone(), *(pool.clone() for pool in self.pools)
        of.norm_rope_store(  # type: ignore[attr-defined]
            *qkv.split(self.sizes, dim=-1),
            *self.weights,
            changed.get("table", self.table),
            changed.get("positions", self.positions),
            changed.get("slots", self.slots),
            k_pool,
            v_pool,
            EPS,
            keep=keep,
        )
        return [qkv, k_pool, v_pool]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("q_heads", "kv_heads", "head_dim"), LAYOUTS)
def test_norm_rope_store(
    q_heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype, keep: bool
) -> None:
    for tokens in (1, 3):
        layer = Layer(tokens, q_heads, kv_heads, head_dim, dtype)
        got, expected = layer.run(attention, keep=keep), layer.run(reference, keep=keep)
        for a, b in zip(got, expected, strict=True):
            assert agree(a, b)
        new = layer.qkv[:, layer.sizes[0] :], got[0][:, layer.sizes[0] :]
        assert torch.equal(*new) != keep
        untouched = torch.ones(SLOTS, dtype=torch.bool)
        untouched[layer.slots.cpu()] = False
        for pool, before in zip(got[1:], layer.pools, strict=True):
            assert torch.equal(pool[untouched], before[untouched])


def test_many_tokens() -> None:
    layer = Layer(17, 2, 2, 256, torch.bfloat16)
    for got, expected in zip(
        layer.run(attention, keep=True), layer.run(reference, keep=True), strict=True
    ):
        assert agree(got, expected)


def test_int32_slots_and_positions() -> None:
    layer = Layer(3, 8, 1, 256, torch.bfloat16)
    small = {"slots": layer.slots.int(), "positions": layer.positions.int()}
    for a, b in zip(
        layer.run(attention, keep=False, **small), layer.run(attention, keep=False), strict=True
    ):
        assert torch.equal(a, b)


def test_a_negative_slot_is_not_written() -> None:
    layer = Layer(3, 8, 1, 256, torch.bfloat16)
    slots = layer.slots.clone()
    slots[1] = -1
    _, k_pool, v_pool = layer.run(attention, keep=False, slots=slots)
    _, k_all, v_all = layer.run(attention, keep=False)
    for pool, every, before in zip((k_pool, v_pool), (k_all, v_all), layer.pools, strict=True):
        assert torch.equal(pool[layer.slots[1]], before[layer.slots[1]])
        assert torch.equal(pool[layer.slots[2]], every[layer.slots[2]])
        assert torch.equal(pool[-1], before[-1])


@pytest.mark.skipif(DEVICE == "cpu", reason="pools of 4.3 GB: needs a GPU")
def test_slots_beyond_two_to_the_31_values() -> None:
    """Of pools whose rows take turns."""
    layer = Layer(3, 8, 1, 512, torch.bfloat16)
    rows = 2**31 // 1024 + 8
    both = torch.zeros(rows, 2, 1, 512, dtype=torch.bfloat16, device=DEVICE)
    far = torch.tensor([rows - 1, 5, rows - 3], device=DEVICE)
    attention.norm_rope_store(
        *layer.qkv.clone().split(layer.sizes, dim=-1),
        *layer.weights,
        layer.table,
        layer.positions,
        far,
        *both.unbind(1),
        EPS,
        keep=False,
    )
    for pool, near in zip(both.unbind(1), layer.run(attention, keep=False)[1:], strict=True):
        assert torch.equal(pool[far], near[layer.slots])


def test_a_slot_a_position_or_a_table_that_is_off_is_seen() -> None:
    layer = Layer(8, 8, 1, 512, torch.bfloat16)
    qkv, k_pool, v_pool = layer.run(attention, keep=True)
    off = layer.run(reference, keep=True, slots=(layer.slots + 1) % SLOTS)
    assert agree(qkv, off[0]) and not agree(k_pool, off[1]) and not agree(v_pool, off[2])
    moved = layer.run(
        reference, keep=True, positions=layer.positions + 1 - 2 * (layer.positions > 9)
    )
    assert not agree(qkv, moved[0]) and not agree(k_pool, moved[1])
    assert agree(v_pool, moved[2])
    whole = layer.run(reference, keep=True, table=rotary_table(512, 256, 1e6))
    assert not agree(qkv, whole[0])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("q_heads", "head_dim"), [(8, 256), (4, 512)])
def test_norm_rope_query(q_heads: int, head_dim: int, dtype: torch.dtype) -> None:
    for tokens in (1, 8):
        wide = random(tokens, q_heads * head_dim + 128, dtype=dtype, scale=3)
        positions = torch.arange(tokens, device=DEVICE) * 31
        results = []
        for of in (attention, reference):
            buffer = wide.clone()
            q = buffer[:, : q_heads * head_dim]
            of.norm_rope_query(q, weight(head_dim, dtype), table(head_dim), positions, EPS)
            results.append(buffer)
        assert agree(*results)
        assert torch.equal(results[0][:, -128:], wide[:, -128:])
        assert not agree(results[0], wide)


def test_the_first_position_is_only_normalised() -> None:
    q = random(1, 512)
    turned = q.clone()
    zero = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    attention.norm_rope_query(turned, weight(256), table(256), zero, EPS)
    assert agree(turned, reference.rms_norm(q.view(2, 256), weight(256), EPS).view(1, 512))


def test_tensors_the_kernel_would_misread_are_refused() -> None:
    layer = Layer(3, 8, 1, 256, torch.bfloat16)
    q, k, v = layer.qkv.split(layer.sizes, dim=-1)
    pools, rest = layer.pools, (layer.positions, layer.slots)

    def store(q: torch.Tensor, k: torch.Tensor, cos_sin: torch.Tensor, *more: torch.Tensor) -> None:
        attention.norm_rope_store(q, k, v, *layer.weights, cos_sin, *more, EPS, keep=False)

    with pytest.raises(ValueError, match="rotary table"):
        store(q, k, layer.table.bfloat16(), *rest, *pools)
    with pytest.raises(ValueError, match="pools"):
        store(q, k, layer.table, *rest, pools[0].half(), pools[1])
    with pytest.raises(ValueError, match="1 heads of 256"):
        store(q, q, layer.table, *rest, *pools)
    with pytest.raises(ValueError, match="positions"):
        store(q, k, layer.table, layer.positions[:2], layer.slots, *pools)
    with pytest.raises(ValueError, match="heads"):
        store(q[:, :300], k, layer.table, *rest, *pools)
