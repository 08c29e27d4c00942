"""The micro-benchmark's shapes and launches on the CPU, in Triton's interpreter; no times."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest

from tests.sglang_model.kernels import interpreter  # before Triton is imported

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch

from gemma4ctl.profiles.table import PerKind
from gemma4ctl.sglang_model.kernels import configs

Script = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def interpreted() -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU runs the script itself")
    assert interpreter


def test_products_are_those_of_the_model(script: Script) -> None:
    cases = script("cases")
    found = {one.name: one for one in cases.products(cases.VARIANTS["E2B"])}
    assert found["qkv sliding"][1:] == (2560, 1536, False, 12)
    assert found["q full"][1:] == (4096, 1536, False, 4)
    assert found["gate_up wide"][1:] == (12288, 1536, True, 20)
    assert found["per-layer inputs"][1:] == (8960, 1536, False, 1)
    assert found["down"].bytes == 2 * 1536 * 6144
    moe = {one.name for one in cases.products(cases.VARIANTS["26B-A4B"])}
    assert "router" in moe and "q full" not in moe


@pytest.mark.parametrize("rows", [1, 2])
def test_every_case_computes_what_its_stock_launches_do(
    script: Script, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    cases, micro = script("cases"), script("micro")
    monkeypatch.setattr(cases, "DEVICE", "cpu")
    monkeypatch.setattr(cases, "CONTEXTS", (70,))
    monkeypatch.setattr(cases.decode, "_multiprocessors", lambda device: 4)
    small = {
        "hidden_size": 64,
        "intermediate_size": 48,
        "vocab_size": 80,
        "attention_heads": 2,
        "kv_heads": PerKind(sliding=1, full=1),
        "per_layer_input": 16,
    }
    for variant in ("E2B", "26B-A4B"):
        update = {k: v for k, v in small.items() if k != "per_layer_input" or variant == "E2B"}
        tiny = cases.VARIANTS[variant].model_copy(update=update)
        if tiny.experts:
            few = tiny.experts.model_copy(update={"count": 16, "intermediate_size": 32})
            tiny = tiny.model_copy(update={"experts": few})
        for case in cases.cases(tiny, rows):
            off = micro.difference(*case.make(0))
            returns_nothing = case.name.startswith(("norm_rope", "moe_attention"))
            assert (off is None) == returns_nothing, case.name
            assert off is None or off < 0.02, case.name
            assert case.copies >= 2


def test_decode_from_short_to_long_contexts_as_far_as_the_kv_fits(script: Script) -> None:
    cases = script("cases")

    def contexts(variant: str, rows: int, kind: str) -> list[int]:
        found = cases.cases(cases.VARIANTS[variant], rows)
        start = f"decode {kind} "
        return [int(one.name[len(start) :]) for one in found if one.name.startswith(start)]

    assert contexts("E2B", 1, "sliding") == [128, 511]
    assert contexts("E2B", 1, "full") == [128, 512, 2048, 8192, 32768]
    assert contexts("31B", 128, "sliding") == [128, 512, 1023]
    assert contexts("31B", 128, "full") == [128, 512, 2048]


def test_tiles_and_the_table(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles, cases = script("tiles"), script("cases")
    monkeypatch.setattr(configs, "ROW", {})
    monkeypatch.setattr(configs, "ROWS", {})
    monkeypatch.setattr(configs, "LARGEST", {})
    product = cases.Product("down", 1536, 12288, False, 20)
    row, rows = set(tiles.candidates(product, 1)), set(tiles.candidates(product, 8))
    assert 10 <= len(row) <= 60 and 5 <= len(rows) <= 20
    assert all(one.stages * one.block_n * one.block_k * 2 <= 128 << 10 for one in rows)
    assert all(2 << 10 <= one.block_n * one.block_k * 2 <= 64 << 10 for one in row)
    chosen = next(iter(row))
    tiles.use(product, 1, chosen)
    assert configs.row("cpu", 1536, 12288, gated=False) == chosen
    key = ["sm_90", 1536, 12288, False]
    lines = list(
        tiles.table(
            [
                {"key": key, "rows": 1, "tiles": [1, 2048, 4, 1], "us": 9.0, "pytorch_us": 10.0},
                {"key": key, "rows": 8, "tiles": [16, 128, 1, 5], "us": 10.0, "pytorch_us": 10.0},
            ]
        )
    )
    assert lines == [
        "ROW[('sm_90', 1536, 12288, False)] = Row(1, 2048, 4, 1)",
        "ROWS[('sm_90', 1536, 12288, False)] = Rows(16, 128, 1, 5)",
        "LARGEST[('sm_90', 1536, 12288, False)] = 1",
    ]


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


@pytest.mark.parametrize(("context", "longer"), [(1, 0), (33, 0), (70, 0), (5, 70)])
def test_every_candidate_is_right(script: Script, tiny: Any, context: int, longer: int) -> None:
    cases, crowds, micro = script("cases"), script("crowds"), script("micro")
    sliding, full = cases.decode_cases(tiny, 2, (context,), longer)
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


def test_one_request_may_be_longer(script: Script, tiny: Any) -> None:
    """In sliding layers by no more than the window; each request is in one piece of its own."""
    cases = script("cases")
    narrow = tiny.model_copy(update={"sliding_window": 41})
    sliding, full = cases.decode_cases(narrow, 3, (33,), 70)
    assert (sliding.name, full.name) == ("decode sliding 33 and 40", "decode full 33 and 70")
    assert full.bytes == 2 * 2 * (33 + 33 + 70) * 64
    *_, starts, slots, _, window = full.make(1)[0].args
    assert (starts.dtype, window) == (torch.int32, None)
    assert sorted(starts.diff().tolist()) == [33, 33, 70]
    assert sorted(slots.tolist()) == list(range(136))
    for first, end in pairwise(starts.tolist()):
        assert (slots[first:end].diff() == 1).all()


def test_names_tell_candidates_apart(script: Script) -> None:
    crowds = script("crowds")
    every = (*crowds.CANDIDATES, *crowds.STREAMS)
    assert len({crowds.named(many) for many in every}) == len(every)
