"""The fused norms against PyTorch, and that a dropped term is seen."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.sglang_model.kernels import norms, reference

from .tensors import DEVICE, EPS, TYPES, agree, random, strided, weight

HIDDEN = (1536, 2560, 2816, 3840, 5376, 96)
ROWS = (1, 3)
SCALAR = 0.6789


def scalar(dtype: torch.dtype) -> torch.Tensor:
    return torch.full((1,), SCALAR, dtype=dtype, device=DEVICE)


def pair(rows: int, n: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """An input as a strided view and a residual."""
    return strided(random(rows, n, dtype=dtype, seed=3)), random(
        rows, n, dtype=dtype, seed=4, scale=2
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", HIDDEN)
def test_attention_tail(n: int, dtype: torch.dtype) -> None:
    for rows in ROWS:
        x, residual = pair(rows, n, dtype)
        arguments = (x, weight(n, dtype), residual, weight(n, dtype, 5), EPS)
        for got, expected in zip(
            norms.attention_tail(*arguments), reference.attention_tail(*arguments), strict=True
        ):
            assert agree(got, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("n", HIDDEN)
def test_layer_tail(n: int, separate: bool, dtype: torch.dtype) -> None:
    for rows in ROWS:
        x, residual = pair(rows, n, dtype)
        arguments = (x, weight(n, dtype), residual, scalar(dtype), weight(n, dtype, 5), EPS)
        for got, expected in zip(
            norms.layer_tail(*arguments, separate=separate),
            reference.layer_tail(*arguments, separate=separate),
            strict=True,
        ):
            assert got is not None and expected is not None and agree(got, expected)


@pytest.mark.parametrize("rows", [8, 17])
def test_more_rows(rows: int) -> None:
    x, residual = pair(rows, 96, torch.bfloat16)
    arguments = (x, weight(96), residual, weight(96, seed=5), EPS)
    for got, expected in zip(
        norms.attention_tail(*arguments), reference.attention_tail(*arguments), strict=True
    ):
        assert agree(got, expected)


def test_the_last_layer_may_have_no_norm_after_it() -> None:
    x, residual = pair(3, 96, torch.bfloat16)
    arguments = (x, weight(96), residual, scalar(torch.bfloat16), None, EPS)
    hidden, total = norms.layer_tail(*arguments)
    assert hidden is None
    assert agree(total, reference.layer_tail(*arguments)[1])


@pytest.mark.parametrize("dtype", TYPES)
def test_add_norm_and_rms_norm(dtype: torch.dtype) -> None:
    for rows in ROWS:
        x, residual = pair(rows, 1536, dtype)
        w = weight(1536, dtype)
        assert agree(norms.add_norm(x, w, residual, EPS), reference.add_norm(x, w, residual, EPS))
        assert agree(norms.rms_norm(x, w, EPS), reference.rms_norm(x, w, EPS))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rows", ROWS)
def test_moe_attention_tail(rows: int, dtype: torch.dtype) -> None:
    n = 2816
    x, residual = pair(rows, n, dtype)
    weights = [weight(n, dtype, seed) for seed in (5, 6, 7)]
    arguments = (x, weight(n, dtype), residual, *weights, EPS)
    for got, expected in zip(
        norms.moe_attention_tail(*arguments), reference.moe_attention_tail(*arguments), strict=True
    ):
        assert agree(got, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("last", [False, True])
def test_moe_layer_tail(last: bool, dtype: torch.dtype) -> None:
    n = 2816
    for rows in ROWS:
        dense, residual = pair(rows, n, dtype)
        arguments = (
            dense,
            weight(n, dtype, 5),
            random(rows, n, dtype=dtype, seed=6, scale=3),
            weight(n, dtype, 7),
            weight(n, dtype, 8),
            residual,
            scalar(dtype),
            None if last else weight(n, dtype, 9),
            EPS,
        )
        got, expected = norms.moe_layer_tail(*arguments), reference.moe_layer_tail(*arguments)
        assert (got[0] is None) == last
        for a, b in zip(got, expected, strict=True):
            assert a is b is None or agree(a, b)


def test_a_dropped_residual_scalar_or_weight_is_seen() -> None:
    n, dtype = 1536, torch.bfloat16
    x, residual = pair(8, n, dtype)
    one = torch.ones_like(scalar(dtype))
    w, next_w = weight(n, dtype), weight(n, dtype, 5)
    right = norms.layer_tail(x, w, residual, scalar(dtype), next_w, EPS)[1]
    for wrong in (
        reference.layer_tail(x, w, torch.zeros_like(residual), scalar(dtype), next_w, EPS)[1],
        reference.layer_tail(x, w, residual, one, next_w, EPS)[1],
        reference.layer_tail(x, next_w, residual, scalar(dtype), next_w, EPS)[1],
    ):
        assert not agree(right, wrong)
    attention = norms.attention_tail(x, w, residual, next_w, EPS)[0]
    assert not agree(
        attention, reference.attention_tail(x, w, torch.zeros_like(residual), next_w, EPS)[0]
    )


def test_inputs_stay_as_they_were() -> None:
    x, residual = pair(3, 96, torch.bfloat16)
    before = x.clone(), residual.clone()
    norms.attention_tail(x, weight(96), residual, weight(96), EPS)
    assert torch.equal(x, before[0]) and torch.equal(residual, before[1])


def test_tensors_the_kernels_would_misread_are_refused() -> None:
    x, residual = pair(3, 96, torch.bfloat16)
    w = weight(96)
    with pytest.raises(ValueError, match="contiguous last dimension"):
        norms.attention_tail(x.t().contiguous().t(), w, residual, w, EPS)
    with pytest.raises(ValueError, match="float16"):
        norms.attention_tail(x, w.half(), residual, w, EPS)
    with pytest.raises(ValueError, match="expected"):
        norms.attention_tail(x, w, residual[:2], w, EPS)
    with pytest.raises(ValueError, match="hidden"):
        norms.rms_norm(random(1, 20000), weight(20000), EPS)
