"""The share of memory that a plan takes, and on which of a host's GPUs."""

from __future__ import annotations

from typing import Any

from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import situate

from .hosts import found, gpu, host, mig, planned, table


def test_too_little_for_a_load_raises_the_share_on_measured_hardware() -> None:
    plain = found("H100", model="31B")
    assert plain.share.value > 0.8 and plain.share.source == "measured"
    assert "too little fits" in plain.share.reason
    kept = found("H100", model="31B", mem_fraction=0.83)
    assert kept.share.value == 0.83


def test_a_share_rises_only_as_far_as_the_load_needs() -> None:
    wanted = {"model": "31B", "request_tokens": "32k"}
    few, many = found("H200", **wanted, concurrency=15), found("H200", **wanted, concurrency=16)
    assert 0.85 < few.share.value < many.share.value < 0.96
    for result in (few, many):
        assert result.load is not None
        assert result.held(result.load).requests == result.load.concurrency


def test_a_derived_share_gives_way_to_the_measured_model_for_a_load() -> None:
    assert found("H100", model="12B").share.value == 0.83
    named = found("H100", model="12B", request_tokens="32k")
    assert named.share.value > 0.9 and named.share.source == "measured"
    elsewhere = found("B200", model="12B", request_tokens="32k")
    assert elsewhere.share.source != "measured"


def test_a_busy_gpu_gets_no_more_than_the_published_share_unless_needed() -> None:
    def share(free: int, **request: Any) -> float:
        s = situate(Request(model="E2B", **request), host(gpu(0, memory_free_mib=free)), table())
        result = memory(s, 1, False)
        assert result is not None
        return result.share.value

    shares = [share(free, request_tokens="8k") for free in (40_000, 80_000, 120_000, 143_000)]
    assert shares == [0.85] * 4
    assert share(60_000) == 0.79  # without a load: what SGLang's heuristic leaves
    assert share(22_000) == 0.535  # at 0.45 too little fits


def test_the_published_share_is_kept_with_safe() -> None:
    wanted = {"model": "31B", "request_tokens": "32k", "concurrency": 18}
    raised, safe = found("H200", **wanted), found("H200", **wanted, safe=True)
    assert raised.share.value > safe.share.value == 0.85


def test_plan_is_for_the_freest_of_the_gpus() -> None:
    inventory = host(gpu(0, memory_free_mib=20_000), gpu(1), gpu(2, memory_free_mib=20_000), gpu(3))
    plan = planned(inventory, model="31B")
    assert plan.value("tensor_parallel_size") == 2
    assert [unit.index for unit in plan.hardware.units] == [1, 3]
    assert plan.hardware.free_mib == 143_171
    assert plan.value("mem_fraction_static") == 0.85


def test_memory_of_a_slice_not_of_the_card() -> None:
    inventory = host(mig(0, "H100", 9_728, 40_192, 40_192))
    plan = planned(inventory, model="E4B")
    assert plan.hardware.memory_mib == 40_192
    assert [unit.id for unit in plan.hardware.units] == ["MIG-0-1"]
    assert plan.capacity and plan.capacity.weights_mib_per_gpu < 40_192
