"""The per-layer embeddings of E2B and E4B against PyTorch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.sglang_model.kernels import per_layer, reference

from .tensors import DEVICE, EPS, TYPES, agree, random, strided, weight

P, LAYERS = 256, 5
SUMS = 0.25  # products sum in another order
SIZES = [(1, 640), (3, 256), (8, 256), (17, 256)]
if DEVICE != "cpu":  # they take long in the interpreter
    SIZES += [(1, 1536), (1, 2560), (3, 1536)]


def tail(rows: int, n: int, dtype: torch.dtype = torch.bfloat16) -> dict[str, torch.Tensor]:
    """Arguments of ``per_layer_tail``; the per-layer input is a strided slice, as in SGLang."""
    return {
        "x": strided(random(rows, n, dtype=dtype, scale=3)),
        "weight": weight(n, dtype),
        "residual": random(rows, n, dtype=dtype, seed=4),
        "gate_weight": random(P, n, dtype=dtype, seed=5, scale=n**-0.5),
        "per_layer_input": random(rows, LAYERS, P, dtype=dtype, seed=6)[:, 3],
        "projection_weight": random(n, P, dtype=dtype, seed=7, scale=P**-0.5),
        "norm_weight": weight(n, dtype, 8),
        "scalar": torch.full((1,), 0.437, dtype=dtype, device=DEVICE),
        "next_weight": weight(n, dtype, 9),
    }


@pytest.mark.parametrize(("rows", "n"), SIZES)
def test_per_layer_tail(rows: int, n: int) -> None:
    arguments = tail(rows, n)
    got = per_layer.per_layer_tail(**arguments, eps=EPS)
    expected = reference.per_layer_tail(**arguments, eps=EPS)
    for a, b in zip(got, expected, strict=True):
        assert a is not None and b is not None and agree(a, b, differing=SUMS)


@pytest.mark.long
def test_other_types() -> None:
    for dtype in (torch.float16, torch.float32):
        arguments = tail(1, 256, dtype)
        got = per_layer.per_layer_tail(**arguments, eps=EPS)[1]
        expected = reference.per_layer_tail(**arguments, eps=EPS)[1]
        assert torch.isclose(got.float(), expected.float(), rtol=2**-6, atol=2**-7).all()


def test_a_dropped_term_is_seen() -> None:
    arguments = tail(8, 1536)
    got = per_layer.per_layer_tail(**arguments, eps=EPS)[1]
    for name in ("residual", "per_layer_input"):
        wrong = arguments | {name: torch.zeros_like(arguments[name])}
        assert not agree(got, reference.per_layer_tail(**wrong, eps=EPS)[1], differing=SUMS)
    for name in ("scalar", "norm_weight", "weight"):
        wrong = arguments | {name: torch.ones_like(arguments[name])}
        assert not agree(got, reference.per_layer_tail(**wrong, eps=EPS)[1], differing=SUMS)


def test_the_last_layer_may_have_no_norm_after_it() -> None:
    arguments = tail(3, 1536) | {"next_weight": None}
    assert per_layer.per_layer_tail(**arguments, eps=EPS)[0] is None  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rows", [1, 17])
def test_per_layer_inputs(rows: int, dtype: torch.dtype) -> None:
    projected = random(rows, LAYERS * P, dtype=dtype, scale=30)
    embeds = strided(random(rows, LAYERS * P, dtype=dtype, seed=4))
    arguments = (projected, embeds, weight(P, dtype), EPS, 0.0255, 0.70703125)
    got = per_layer.per_layer_inputs(*arguments)
    assert got.shape == (rows, LAYERS, P)
    assert agree(got, reference.per_layer_inputs(*arguments))
    wrong = (projected, torch.zeros_like(embeds), *arguments[2:])
    assert not agree(got, reference.per_layer_inputs(*wrong))


def test_embeddings_read_in_place() -> None:
    table = random(40, LAYERS * P, seed=3)
    tokens = torch.tensor([7, 39, 0, 40, -1, 100000], device=DEVICE)
    projected = random(len(tokens), LAYERS * P, scale=30)
    arguments = (projected, tokens, table, 16.0, weight(P), EPS, 0.0255, 0.70703125)
    got = per_layer.per_layer_inputs_of_tokens(*arguments)
    assert agree(got, reference.per_layer_inputs_of_tokens(*arguments))
    moved = (projected, tokens - 1, *arguments[2:])
    assert not agree(got, reference.per_layer_inputs_of_tokens(*moved))


def test_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="layers of 256"):
        per_layer.per_layer_inputs(random(1, 512), random(1, 256), weight(P), EPS, 1.0, 1.0)
