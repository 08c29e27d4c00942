"""Candidates for attention of many requests compute what the module's kernel does; no times."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.sglang_model.kernels import interpreter  # before Triton is imported

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.profiles.table import PerKind

Script = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def interpreted() -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU runs the script itself")
    assert interpreter


@pytest.fixture
def tiny(script: Script, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A variant with few heads, of which two share KV in sliding layers and four in full ones."""
    cases = script("cases")
    monkeypatch.setattr(cases, "DEVICE", "cpu")
    monkeypatch.setattr(cases.decode, "_multiprocessors", lambda device: 2)
    cases.decode.arrivals.cache_clear()
    heads = {"attention_heads": 4, "kv_heads": PerKind(sliding=2, full=1)}
    narrow = {"head_dim": PerKind(sliding=64, full=64)}
    return cases.VARIANTS["26B-A4B"].model_copy(update={**heads, **narrow})


@pytest.mark.parametrize("context", [1, 33, 70])
def test_every_candidate_is_right(script: Script, tiny: Any, context: int) -> None:
    cases, crowds, micro = script("cases"), script("crowds"), script("micro")
    sliding, full = cases.decode_cases(tiny, 2, (context,))
    for case, streams in ((sliding, True), (full, False)):
        fused, stock = case.make(0)
        ways = list(crowds.ways(fused))
        assert any(isinstance(many.tile, cases.decode.Stream) for many in ways) is streams
        for many in {many.tile: many._replace(splits=2, least=32) for many in ways}.values():
            call = cases.partial(fused, many=many)
            assert micro.difference(call, stock) < 0.02, crowds.named(many)


def test_a_wrong_candidate_is_seen(script: Script, tiny: Any) -> None:
    """Control: one with one token too few."""
    cases, micro = script("cases"), script("micro")
    case, _ = cases.decode_cases(tiny, 2, (33,))
    fused, stock = case.make(0)
    q, k_pool, v_pool, starts, slots, *rest = fused.args
    shorter = starts - torch.tensor([0, 1, 2], dtype=starts.dtype)
    wrong = cases.partial(fused.func, q, k_pool, v_pool, shorter, slots, *rest)
    assert micro.difference(wrong, stock) > 0.02


def test_names_tell_candidates_apart(script: Script) -> None:
    crowds = script("crowds")
    every = (*crowds.CANDIDATES, *crowds.STREAMS)
    assert len({crowds.named(many) for many in every}) == len(every)
