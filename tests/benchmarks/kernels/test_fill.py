"""The random weights of servers without a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def fill(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("fill")


def layer() -> torch.nn.Module:
    made = torch.nn.Module()
    made.gate_proj = torch.nn.Linear(512, 256, dtype=torch.bfloat16)
    made.q_norm, made.input_layernorm = torch.nn.RMSNorm(256), torch.nn.RMSNorm(512)
    made.embed_tokens_per_layer = torch.nn.Embedding(64, 1024)
    made.router = torch.nn.Module()
    made.router.proj = torch.nn.Linear(512, 128, bias=False)
    made.register_buffer("layer_scalar", torch.zeros(1))
    made.register_buffer("steps", torch.arange(4))
    made.register_buffer("limit", torch.full((2,), float("inf")))
    made.register_buffer("given", torch.full((2,), 3.0))
    made.tied = made.gate_proj
    return made.requires_grad_(False)


def test_tensors_are_drawn_by_their_kind(fill: ModuleType) -> None:
    made = layer()
    fill.fill(made)
    assert made.gate_proj.weight.float().std() == pytest.approx(512**-0.5, rel=0.05)
    assert made.embed_tokens_per_layer.weight.std() == pytest.approx(256**-0.5, rel=0.05)
    assert not made.gate_proj.bias.any()
    assert made.input_layernorm.weight.mean() == pytest.approx(1, abs=0.05)
    assert made.input_layernorm.weight.std() == pytest.approx(0.1, abs=0.03)
    assert 0.8 <= made.layer_scalar.item() <= 1.2
    assert made.steps.tolist() == [0, 1, 2, 3]
    assert made.limit.tolist() == [1, 1] and made.given.tolist() == [3, 3]


def test_scores_of_queries_and_keys_spread_as_they_should(fill: ModuleType) -> None:
    made = layer()
    fill.fill(made)
    q, k = torch.randn(2, 4096, 256) * made.q_norm.weight
    assert (q * k).sum(-1).std() == pytest.approx(fill.SCORES, rel=0.1)


def test_scores_of_the_router_spread_as_they_should(fill: ModuleType) -> None:
    made = layer()
    fill.fill(made)
    normed = torch.randn(1024, 512) * 512**-0.5  # as Gemma 4 scales the router's input
    assert made.router.proj(normed).std() == pytest.approx(fill.ROUTING, rel=0.1)


def test_two_models_are_drawn_alike(fill: ModuleType) -> None:
    one, other = layer(), layer()
    fill.fill(one)
    fill.fill(other)
    for mine, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
