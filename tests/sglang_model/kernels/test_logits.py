"""The softcap of the logits against PyTorch in double precision."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.sglang_model.kernels import logits, reference

from .tensors import DEVICE, random, strided

TYPES = (torch.bfloat16, torch.float16)
SHAPES = [(1, 1), (1, logits.BLOCK), (3, logits.BLOCK + 16), (2, 5003), (33, 40)]
CLOSE = 1e-6  # of each value, however small
CAP = 30.0


def exact(x: torch.Tensor, cap: float) -> torch.Tensor:
    """In fp64."""
    return cap * torch.tanh(x.double() / cap)


def close(got: torch.Tensor, x: torch.Tensor, cap: float = CAP) -> bool:
    """Whether every value is right for its size."""
    return got.dtype == torch.float32 and torch.allclose(
        got.double(), exact(x, cap), rtol=CLOSE, atol=0
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "n"), SHAPES)
def test_softcap(rows: int, n: int, dtype: torch.dtype) -> None:
    x = random(rows, n, dtype=dtype, scale=40)
    before = x.clone()
    got = logits.softcap(x, CAP)
    assert got.shape == x.shape and got.is_contiguous() and close(got, x)
    assert torch.allclose(got, reference.softcap(x, CAP), rtol=CLOSE)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", TYPES)
def test_rows_may_be_strided(dtype: torch.dtype) -> None:
    """Columns that the vocabulary is padded with are neither read nor written."""
    x = strided(random(3, 2100, dtype=dtype, scale=40))
    assert close(logits.softcap(x, CAP), x)
    whole = torch.full((3, 2200), 7.0, device=DEVICE)
    got = logits.softcap(x, CAP, whole[:, 50:-50])
    assert close(got, x)
    assert (whole[:, :50] == 7).all() and (whole[:, -50:] == 7).all()


def test_a_buffer_is_filled_and_returned() -> None:
    x, buffer = random(2, 5003, scale=40), torch.full((2, 5003), torch.nan, device=DEVICE)
    assert logits.softcap(x, CAP, buffer) is buffer and close(buffer, x)
    assert reference.softcap(x, CAP, buffer) is buffer and close(buffer, x)


@pytest.mark.parametrize("cap", [1e-3, 0.5, 8, 50.0, 1e6])
def test_other_caps(cap: float) -> None:
    x = random(2, 300, scale=40)
    assert close(logits.softcap(x, cap), x, cap)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_value_of_a_type(dtype: torch.dtype) -> None:
    """From zeros and subnormal ones, of both signs, to infinities; NaN stays NaN."""
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    x = bits.view(dtype).to(DEVICE).view(16, 4096)
    got = logits.softcap(x, CAP)
    number = ~x.isnan()
    subnormal = torch.finfo(torch.float32).tiny  # they have few digits
    assert torch.allclose(got[number].double(), exact(x[number], CAP), rtol=CLOSE, atol=subnormal)
    assert torch.equal(got.isnan(), x.isnan())
    assert torch.equal(got.signbit()[number], x.signbit()[number])
    assert got[number].abs().max() == CAP


def test_tiny_values_keep_their_digits() -> None:
    x = random(4, 500, scale=1e-6)
    assert torch.allclose(logits.softcap(x, CAP), x.float(), rtol=CLOSE, atol=0)


def test_what_is_left_out_is_seen() -> None:
    """Negative controls: no cap, another one, a cap on top, and exponentials that cancel at 0."""
    x = random(2, 300, scale=40)
    got = logits.softcap(x, CAP)
    assert close(got, x)
    assert not close(x.float(), x) and not close(logits.softcap(x, CAP + 0.01), x)
    assert not close(reference.softcap(got, CAP), x)
    tiny = random(2, 300, scale=1e-3)
    grown = torch.exp(2 * tiny.float() / CAP)
    assert not close(CAP * (grown - 1) / (grown + 1), tiny)
    assert close(logits.softcap(tiny, CAP), tiny)


@pytest.mark.skipif(DEVICE == "cpu", reason="takes 16 GiB, and long in the interpreter")
def test_more_values_than_32_bits_count() -> None:
    x = torch.full((8200, 262144), 20, dtype=torch.bfloat16, device=DEVICE)
    x[-1, -3:] = 5
    got = logits.softcap(x, CAP)
    assert close(got[-2:, -10:], x[-2:, -10:]) and close(got[:2, :10], x[:2, :10])


def test_no_rows() -> None:
    assert logits.softcap(random(0, 64), CAP).shape == (0, 64)


def test_what_the_kernel_takes() -> None:
    x, buffer = random(2, 64), torch.empty(2, 64, device=DEVICE)
    assert logits.supported(x) and logits.supported(x.half(), buffer)
    others = [
        (x.float(), None),
        (x.t(), None),
        (x[None], None),
        (x[:0], None),
        (x, buffer.bfloat16()),
        (x, buffer[:, :32]),
        (x, torch.empty(64, 2, device=DEVICE).t()),
    ]
    assert not any(logits.supported(*each) for each in others)


def test_what_it_does_not_take_is_refused() -> None:
    x = random(2, 64)
    with pytest.raises(ValueError, match="bf16 or fp16"):
        logits.softcap(x.float(), CAP)
    with pytest.raises(ValueError, match="contiguous columns"):
        logits.softcap(x.t(), CAP)
    with pytest.raises(ValueError, match="expected an fp32 \\(2, 64\\)"):
        logits.softcap(x, CAP, torch.empty(2, 32, device=DEVICE))
