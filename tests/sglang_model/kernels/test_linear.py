"""Products of a few rows against PyTorch, with what is fused before and after them."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4ctl.sglang_model.kernels import configs, linear, norms, reference, runtime

from .tensors import DEVICE, EPS, agree, random, strided, weight

SHAPES = ((80, 1536), (64, 256), (33, 2816), (48, 5376), (16, 2112))  # N, K
# The order of summation differs from the reference's: sums round differently now and then.
SUMS = 0.25


def matrix(n: int, k: int, dtype: torch.dtype = torch.bfloat16, seed: int = 11) -> torch.Tensor:
    return random(n, k, dtype=dtype, seed=seed, scale=k**-0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_linear(n: int, k: int, rows: int, dtype: torch.dtype) -> None:
    x, w = strided(random(rows, k, dtype=dtype)), matrix(n, k, dtype)
    assert agree(linear.linear(x, w), reference.linear(x, w), differing=SUMS)


def test_a_row_slice_of_a_weight_gives_its_rows() -> None:
    x, w = random(1, 1536), matrix(96, 1536)
    assert torch.equal(linear.linear(x, w[:64]), linear.linear(x, w)[:, :64])


def test_more_rows_and_other_types_go_to_pytorch() -> None:
    w = matrix(64, 256)
    x = random(17, 256)
    assert not linear.small(x) and not linear.small(random(1, 256, dtype=torch.float32))
    assert torch.equal(linear.linear(x, w), torch.nn.functional.linear(x, w))
    assert agree(linear.gate_up(x, w), reference.gate_up(x, w), differing=SUMS)
    factors = strided(random(17, 64))
    assert agree(
        linear.gate_times(x, w, factors), reference.gate_times(x, w, factors), differing=SUMS
    )


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_gate_up(n: int, k: int, rows: int) -> None:
    x, w = random(rows, k), matrix(2 * n, k)
    got = linear.gate_up(x, w)
    assert agree(got, reference.gate_up(x, w), differing=SUMS)
    swapped = torch.cat((w[n:], w[:n]))
    assert not agree(got, reference.gate_up(x, swapped), differing=SUMS)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_gate_times(rows: int) -> None:
    x, w = random(rows, 1536), matrix(256, 1536)
    factors = random(rows, 35, 256, seed=6)[:, 7]
    got = linear.gate_times(x, w, factors)
    assert agree(got, reference.gate_times(x, w, factors), differing=SUMS)
    assert not agree(got, reference.gate_times(x, w, -factors), differing=SUMS)


@pytest.mark.parametrize("k", [1536, 2816, 5376])
@pytest.mark.parametrize("rows", [1, 3])
def test_norm_linear(rows: int, k: int) -> None:
    x, w = random(rows, k, scale=3), matrix(48, k)
    expected = reference.linear(reference.rms_norm(x, weight(k), EPS), w)
    assert agree(linear.norm_linear(x, weight(k), w, EPS), expected, differing=SUMS)


@pytest.mark.parametrize("k", [1536, 2816, 5376])
@pytest.mark.parametrize("rows", [1, 3])
def test_attention_tail_gate_up(rows: int, k: int) -> None:
    x, residual, w = random(rows, k, scale=3), random(rows, k, seed=5), matrix(96, k)
    norm_weights = weight(k), weight(k, seed=7)
    hidden, total = reference.attention_tail(x, norm_weights[0], residual, norm_weights[1], EPS)
    got = linear.attention_tail_gate_up(x, norm_weights[0], residual, norm_weights[1], w, EPS)
    assert agree(got[0], reference.gate_up(hidden, w), differing=SUMS)
    assert agree(got[1], total)
    assert not agree(got[0], reference.gate_up(x, w), differing=SUMS)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("rows", [1, 3])
def test_layer_tail_linear(rows: int, separate: bool) -> None:
    k = 1536
    x, residual, w = random(rows, k, scale=3), random(rows, k, seed=5), matrix(80, k)
    scalar = torch.full((1,), 0.37, dtype=torch.bfloat16, device=DEVICE)
    tail = (x, weight(k), residual, scalar, weight(k, seed=7))
    hidden, total = reference.layer_tail(*tail, EPS, separate=separate)
    assert hidden is not None
    got = linear.layer_tail_linear(*tail, w, EPS, separate=separate)
    assert agree(got[0], reference.linear(hidden, w), differing=SUMS)
    assert agree(got[1], total)
    without = reference.layer_tail(x, weight(k), residual, scalar * 0 + 1, tail[4], EPS)[1]
    assert not agree(got[1], without)


@pytest.mark.parametrize("rows", [1, 3])
def test_add_norm_gate_times(rows: int) -> None:
    k = 2560 if DEVICE != "cpu" else 640
    x, residual, w = random(rows, k, scale=3), random(rows, k, seed=5), matrix(256, k)
    factors = random(rows, 256, seed=8)
    total = reference.add_norm(x, weight(k), residual, EPS)
    got = linear.add_norm_gate_times(x, weight(k), residual, w, factors, EPS)
    assert agree(got[1], total)
    assert agree(got[0], reference.gate_times(total, w, factors), differing=SUMS)


@pytest.mark.parametrize(
    "tiles",
    [
        (4, 512, 4, 1), (2, 1024, 4, 3), (8, 2048, 8, 1), (1, 256, 2, 4),
        (1, 2048, 4, 1, 5), (2, 2048, 4, 3, 4), (4, 2048, 4, 1, 2), (4, 512, 4, 1, 3),
    ],
)  # fmt: skip
def test_every_tiling_gives_the_same(
    tiles: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    n, k = 21, 1536
    x, w, residual = random(1, k), matrix(2 * n, k), random(1, k, seed=5)
    monkeypatch.setattr(configs, "row", lambda *_, **__: configs.Row(*tiles))
    got = linear.attention_tail_gate_up(x, weight(k), residual, weight(k, seed=7), w, EPS)
    hidden = norms.attention_tail(x, weight(k), residual, weight(k, seed=7), EPS)[0]
    assert agree(got[0], reference.gate_up(hidden, w), differing=SUMS)
    assert agree(linear.linear(x, w), reference.linear(x, w), differing=SUMS)
    factors = random(1, 2 * n, seed=8)
    assert agree(
        linear.gate_times(x, w, factors), reference.gate_times(x, w, factors), differing=SUMS
    )


def test_the_tiles_of_a_program_cover_every_row() -> None:
    for n, k, gated in ((15360, 3840, True), (12288, 1536, True), (256, 1536, False)):
        found = configs.row("sm_90", n, k, gated=gated)
        programs = -(-n // (found.block_n * found.tiles))
        assert programs * found.block_n * found.tiles >= n > 0
        assert found.block_k >= k


def test_shapes_that_pytorch_is_faster_for_go_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a kernel was launched")

    k, x = 256, random(1, 256)
    norm_weight, residual, plain, both = (
        weight(k),
        random(1, k, seed=5),
        matrix(64, k),
        matrix(128, k),
    )
    name = runtime.architecture(x.device.index)
    expected = (
        linear.linear(x, plain),
        linear.gate_up(x, both),
        linear.attention_tail_gate_up(x, norm_weight, residual, norm_weight, both, EPS)[0],
    )
    monkeypatch.setitem(configs.LARGEST, (name, 64, k, False), 0)
    monkeypatch.setitem(configs.LARGEST, (name, 64, k, True), 0)
    monkeypatch.setattr(linear, "_row", refuse)
    got = (
        linear.linear(x, plain),
        linear.gate_up(x, both),
        linear.attention_tail_gate_up(x, norm_weight, residual, norm_weight, both, EPS)[0],
    )
    for a, b in zip(got, expected, strict=True):
        assert agree(a, b, differing=SUMS)


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 70), st.integers(1, 12).map(lambda n: 64 * n), st.integers(1, 8))
def test_any_shape(n: int, k: int, rows: int) -> None:
    x, w = random(rows, k), matrix(2 * n, k)
    assert agree(linear.linear(x, w), reference.linear(x, w), differing=SUMS)
    assert agree(linear.gate_up(x, w), reference.gate_up(x, w), differing=SUMS)


def test_tensors_the_kernels_would_misread_are_refused() -> None:
    x = random(1, 256)
    with pytest.raises(ValueError, match="contiguous rows"):
        linear.linear(x, matrix(64, 128))
    with pytest.raises(ValueError, match="contiguous rows"):
        linear.linear(x, matrix(256, 64).t())
    with pytest.raises(ValueError, match="float16"):
        linear.linear(x, matrix(64, 256, torch.float16))
