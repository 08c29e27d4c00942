"""The experts of a few tokens against PyTorch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.sglang_model.kernels import experts, reference

from .tensors import DEVICE, agree, random

EXPERTS, CHOSEN = 12, 3
SUMS = 0.3  # products sum in another order


def arguments(
    rows: int, hidden: int, width: int, dtype: torch.dtype = torch.bfloat16
) -> list[torch.Tensor]:
    """Arguments of ``experts``, every token with distinct experts and shares that sum to 1."""
    generator = torch.Generator().manual_seed(rows)
    ids = torch.stack([torch.randperm(EXPERTS, generator=generator)[:CHOSEN] for _ in range(rows)])
    shares = torch.rand(rows, CHOSEN, generator=generator) + 0.1
    return [
        random(rows, hidden, dtype=dtype),
        (shares / shares.sum(1, keepdim=True)).to(DEVICE),
        ids.int().to(DEVICE),
        random(EXPERTS, 2 * width, hidden, dtype=dtype, seed=3, scale=hidden**-0.5),
        random(EXPERTS, hidden, width, dtype=dtype, seed=4, scale=width**-0.5),
    ]


@pytest.mark.parametrize(
    ("rows", "hidden", "width", "dtype"),
    [
        (1, 64, 48, torch.bfloat16),
        (2, 64, 48, torch.float16),
        (2, 160, 22, torch.bfloat16),
        (1, 160, 22, torch.float16),
    ],
)
def test_experts(rows: int, hidden: int, width: int, dtype: torch.dtype) -> None:
    given = arguments(rows, hidden, width, dtype)
    assert agree(experts.experts(*given), reference.experts(*given), differing=SUMS)


@pytest.mark.long
def test_int64_ids() -> None:
    given = arguments(1, 64, 48)
    got = experts.experts(*given)
    given[2] = given[2].long()
    assert torch.equal(experts.experts(*given), got)


def test_another_expert_share_or_order_is_seen() -> None:
    x, shares, ids, gate_up, down = arguments(3, 64, 48)
    got = experts.experts(x, shares, ids, gate_up, down)
    swapped = torch.cat((gate_up[:, 48:], gate_up[:, :48]), dim=1)
    for wrong in (
        (x, shares, (ids + 1) % EXPERTS, gate_up, down),
        (x, shares.roll(1, 1), ids, gate_up, down),
        (x, shares, ids, swapped, down),
    ):
        assert not agree(got, reference.experts(*wrong), differing=SUMS)


@pytest.mark.long
def test_a_negative_id_adds_nothing() -> None:
    x, shares, ids, gate_up, down = arguments(2, 64, 48)
    ids[0, 1], ids[1] = -1, -1
    got = experts.experts(x, shares, ids, gate_up, down)
    assert agree(got, reference.experts(x, shares, ids, gate_up, down), differing=SUMS)
    assert not got[1].any()


def test_which_batches_are_small() -> None:
    assert experts.small(random(1, 64)) and experts.small(random(experts.LARGEST_BATCH, 64))
    assert not experts.small(random(experts.LARGEST_BATCH + 1, 64))
    assert not experts.small(random(1, 64, dtype=torch.float32))
    assert not experts.small(random(0, 64))


def test_tensors_the_kernels_would_misread_are_refused() -> None:
    x, shares, ids, gate_up, down = arguments(2, 64, 48)
    with pytest.raises(ValueError, match="expected weights"):
        experts.experts(x, shares, ids, gate_up.transpose(1, 2), down)
    with pytest.raises(ValueError, match="fp32"):
        experts.experts(x, shares.bfloat16(), ids, gate_up, down)
    with pytest.raises(ValueError, match="last dimension"):
        experts.experts(x, shares, ids, gate_up, down.transpose(1, 2).contiguous().transpose(1, 2))
    with pytest.raises(ValueError, match="ids"):
        experts.experts(x, shares, ids.t().contiguous().t(), gate_up, down)
