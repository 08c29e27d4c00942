"""The share of memory that a plan gives SGLang, against values that SGLang 0.5.16 resolves."""

from __future__ import annotations

import pytest

from gemma4ctl.planning.fraction import fraction, sglang_fraction
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import situate

from .hosts import gpu, host, mig, planned, situation, table


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


def test_busy_gpu_keeps_the_reserve() -> None:
    busy = host(gpu(0, memory_free_mib=60_000))
    plan = planned(busy, model="E2B")
    decision = plan.decision("mem_fraction_static")
    assert decision and (decision.value, decision.status) == (0.79, "estimated")
    assert decision.reason == "lowered from 0.85: 83,771 MiB are not free"
    reserve = 143_771 * (1 - 0.907)  # what SGLang's own heuristic keeps on an idle H200
    assert 0.9 * reserve <= 60_000 * (1 - 0.79)


def test_fraction_of_a_platform_like_another() -> None:
    found = fraction(situation("MI325X", model="31B"), 1, False)
    assert found and (found.value, found.status) == (0.8, "estimated")
    assert "MI300X" in found.reason


def test_drafts_leave_no_larger_share_than_there_is_without() -> None:
    for platform in ("MI325X", "MI350X", "MI355X"):
        for variant in ("31B", "26B-A4B"):
            found = fraction(situation(platform, model=variant, mtp=True), 1, True)
            assert found and (found.value, found.status) == (0.8, "estimated")
            assert found.reason.endswith("resembles, without MTP")


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
    assert memory(s, 1, False) is None


def test_the_share_published_without_mtp_counts_with_it() -> None:
    """Nothing is published for MTP on MI300X; the heuristic would give more than without drafts."""
    s = situation("MI300X", model="31B", mtp=True)
    found = fraction(s, 1, True)
    assert found is not None
    assert (found.value, found.status) == (0.8, "estimated")
    assert "without MTP" in found.reason
