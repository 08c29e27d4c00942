"""The memory model against figures measured with SGLang 0.5.16 on H100 and H200."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.planning.memory import (
    cell_bytes,
    fraction,
    pool_tokens,
    pools,
    sglang_fraction,
    weight_bytes,
)
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation, situate

from .hosts import gpu, host, mig, node, planned, table

GIB = 1 << 30

# variant, platform, free before the weights, free after them (GiB), fraction, ratio, full, sliding
MEASURED = [
    ("31B", "H200", 139.13, 79.52, 0.825, 0.8, 80_349, 64_279),
    ("31B", "H200", 139.13, 79.52, 0.825, 0.1, 361_570, 36_157),
    ("E2B", "H200", None, None, 0.905, 0.8, 3_337_548, 2_670_038),
    ("E2B", "H100", 78.50, 68.50, 0.45, 0.8, 728_328, 582_662),
]


def situation(platform: str, gpus: int | None = None, **request: Any) -> Situation:
    return situate(Request(hardware=platform, **request), node(platform, gpus), table())


@pytest.mark.parametrize("row", [row for row in MEASURED if row[2] is not None])
def test_formula_with_measured_memory(row: tuple[Any, ...]) -> None:
    variant, _, before, after, share, ratio, full, sliding = row
    cell = cell_bytes(table().variants[variant], 1, mtp=False, ratio=ratio)
    tokens = pool_tokens((after - before * (1 - share)) * GIB, cell)
    assert tokens == pytest.approx(full, rel=0.005)
    assert tokens * ratio == pytest.approx(sliding, rel=0.005)


@pytest.mark.parametrize("row", MEASURED)
def test_whole_model(row: tuple[Any, ...]) -> None:
    variant, platform, _, _, share, ratio, full, sliding = row
    extra = ("--swa-full-tokens-ratio", str(ratio))
    s = situation(platform, 1, model=variant, mem_fraction=share, extra_args=extra)
    found = pools(s, 1, False)
    assert found is not None
    assert found.full_tokens == pytest.approx(full, rel=0.05)
    assert found.swa_tokens == pytest.approx(sliding, rel=0.05)


def test_weights_of_31b_as_measured() -> None:
    assert weight_bytes(situation("H200", model="31B"), 1) / GIB == pytest.approx(59.61, rel=0.005)


@pytest.mark.parametrize(
    ("platform", "variant", "tp", "expected"),
    [
        ("H100", "31B", 1, 0.7596),
        ("H100", "31B", 2, 0.7587),
        ("H100", "31B", 4, 0.7496),
        ("H200", "E2B", 1, 0.905),
        ("H200", "31B", 1, 0.825),
        ("H200", "12B", 1, 0.95 * 0.907),
        ("B200", "31B", 1, 0.7796),
    ],
)
def test_sglang_fraction(platform: str, variant: str, tp: int, expected: float) -> None:
    """The values that SGLang 0.5.16 resolves when the flag is unset; 12B's by its formula."""
    found = sglang_fraction(situation(platform, model=variant), tp, multimodal=True)
    assert found == pytest.approx(expected, abs=4e-4)


def test_sglang_fraction_follows_the_users_chunk() -> None:
    """An unchunked prefill is sized by --max-prefill-tokens, 16,384 when unset."""

    def found(chunk: str) -> float | None:
        s = situation("H200", model="31B", extra_args=("--chunked-prefill-size", chunk))
        return sglang_fraction(s, 1, multimodal=False)

    assert found("32768") == pytest.approx(1 - (512 + 1.5 * 32768 + 128 + 512) / 143_771, abs=1e-3)
    assert found("-1") == found("16384")


# variant -> bytes of a token at TP 1, 2, 4 and 8, and what MTP adds at TP 1
CELLS = {
    "E2B": ([37_273, 37_273, 37_273, 37_273], 8_192),
    "E4B": ([86_016, 43_008, 43_008, 43_008], 16_384),
    "12B": ([278_528, 147_456, 81_920, 49_152], 8_192),
    "26B-A4B": ([184_320, 92_160, 51_200, 30_720], 16_384),
    "31B": ([737_280, 368_640, 184_320, 102_400], 32_768),
}


@pytest.mark.parametrize("variant", CELLS)
def test_bytes_of_a_token(variant: str) -> None:
    row = table().variants[variant]
    sizes, added = CELLS[variant]
    assert [cell_bytes(row, tp, mtp=False, ratio=0.8) for tp in (1, 2, 4, 8)] == sizes
    assert cell_bytes(row, 1, mtp=True, ratio=0.8) - sizes[0] == added


def test_fp8_cache_halves_a_token() -> None:
    s = situation(
        "H200", 1, model="31B", mem_fraction=0.85, extra_args=("--kv-cache-dtype", "fp8_e4m3")
    )
    bf16 = situation("H200", 1, model="31B", mem_fraction=0.85)
    small, large = pools(s, 1, False), pools(bf16, 1, False)
    assert small and large and small.cell * 2 == large.cell
    assert small.full_tokens == pytest.approx(2 * large.full_tokens, abs=2)


def test_more_free_memory_never_lowers_capacity() -> None:
    for variant in table().variants:
        tokens = []
        for free in range(4_000, 143_772, 1_500):
            inventory = host(gpu(0, memory_free_mib=free))
            s = situate(Request(model=variant), inventory, table())
            found = pools(s, 1, False)
            tokens.append(found.full_tokens if found else 0)
        assert tokens == sorted(tokens)
        assert tokens[-1] > 0


def test_busy_gpu_keeps_the_reserve() -> None:
    busy = host(gpu(0, memory_free_mib=60_000))
    plan = planned(busy, model="E2B")
    decision = plan.decision("mem_fraction_static")
    assert decision and (decision.value, decision.status) == (0.79, "estimated")
    assert decision.reason == "lowered from 0.85: 83,771 MiB are not free"
    reserve = 143_771 * (1 - 0.907)  # what SGLang's own heuristic keeps on an idle H200
    assert 0.9 * reserve <= 60_000 * (1 - 0.79)


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


def test_pipeline_stages_share_the_weights() -> None:
    s = situation("L40S", 8, model="31B", extra_args=("--pp-size", "2"))
    whole = situation("L40S", 8, model="31B")
    assert weight_bytes(s, 2) < weight_bytes(whole, 2)
    assert s.selection(2).units == s.group[:4]


def test_unpublished_size_is_estimated_by_format() -> None:
    fp8 = weight_bytes(situation("H200", model="31B", checkpoint="fp8"), 1) / GIB
    nvfp4 = weight_bytes(situation("B200", model="31B", checkpoint="nvfp4"), 1) / GIB
    assert 28 < nvfp4 < fp8 < 38


def test_fraction_of_a_platform_like_another() -> None:
    found = fraction(situation("MI325X", model="31B"), 1, False)
    assert found and (found.value, found.status) == (0.8, "estimated")
    assert "MI300X" in found.reason


def test_fraction_of_a_larger_platform_keeps_sglangs_reserve() -> None:
    found = fraction(situation("H100", model="12B"), 1, False)
    assert found and (found.value, found.status) == (0.83, "estimated")
    assert "0.85 is published for H200" in found.reason
    assert (1 - found.value) * 81_559 >= 512 + 1.5 * 8192 + 128 + 2 * 256


def test_a_slice_of_a_gpu_takes_no_fraction_that_is_published_for_the_whole() -> None:
    inventory = host(mig(0, "H200", 20_096))
    found = fraction(situate(Request(model="E2B"), inventory, table()), 1, False)
    assert found and found.value < 0.85 and found.source == "wheels"


def test_memory_shared_with_the_host_leaves_it_some() -> None:
    found = fraction(situation("GB10", model="31B"), 1, False)
    assert found and (found.value, found.source) == (0.7, "issue-34872")


def test_derived_fraction_leaves_sglangs_reserve() -> None:
    found = fraction(situation("L40S", model="E4B"), 1, False)
    assert found and found.status == "estimated"
    assert found.value == 0.85
    assert (1 - found.value) * 46_068 >= 512 + 1.5 * 4096 + 128 + 2 * 32


def test_nothing_is_derived_from_unknown_memory() -> None:
    s = situate(Request(model="E2B"), host(gpu(0, "L40S", memory_total_mib=None)), table())
    assert fraction(s, 1, False) is None
    auto = Request(model="E2B", mem_fraction="auto")
    s = situate(auto, host(gpu(0, "L40S", memory_total_mib=None)), table())
    assert fraction(s, 1, False) is None
    assert pools(s, 1, False) is None
