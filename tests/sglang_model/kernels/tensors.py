"""Constructed inputs (random, fixed seeds) and the comparison of a kernel with its reference."""

from __future__ import annotations

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EPS = 1e-6
TYPES = (torch.bfloat16, torch.float16, torch.float32)
# Two units in the last place: a value next to a rounding boundary may fall to either side, and
# the next rounding may double that.
TOLERANCE = {torch.bfloat16: 2**-6, torch.float16: 2**-9, torch.float32: 2**-18}


def random(
    *shape: int, dtype: torch.dtype = torch.bfloat16, seed: int = 1, scale: float = 1.0
) -> torch.Tensor:
    """Normal values of ``dtype``."""
    generator = torch.Generator().manual_seed(seed * 7919 + sum(shape))
    return (torch.randn(*shape, generator=generator) * scale).to(dtype).to(DEVICE)


def weight(n: int, dtype: torch.dtype = torch.bfloat16, seed: int = 2) -> torch.Tensor:
    """Norm weights around 1."""
    return (1 + 0.3 * random(n, dtype=torch.float32, seed=seed)).to(dtype)


def strided(x: torch.Tensor) -> torch.Tensor:
    """The same values as a view with a longer row stride, as slices of a fused product have."""
    rows, n = x.shape
    wide = torch.full((rows, n + 64), 1e4, dtype=x.dtype, device=x.device)
    wide[:, 32 : 32 + n] = x
    return wide[:, 32 : 32 + n]


def agree(got: torch.Tensor, expected: torch.Tensor, *, differing: float = 0.05) -> bool:
    """Whether all values agree within rounding, and all but a share of them (or one) to the bit."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    if expected.dtype == torch.float32:
        differing = 1.0
    tolerance = TOLERANCE[expected.dtype]
    size = expected.float().abs().mean().item()
    near = torch.isclose(got.float(), expected.float(), rtol=tolerance, atol=tolerance * size)
    different = (got != expected).sum().item()
    return bool(near.all()) and different <= max(1, differing * got.numel())
