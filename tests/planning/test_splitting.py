"""How the memory of a GPU is split: measured pools, loads, prefill chunks, and drafts."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.capacity.workload import uniform
from gemma4ctl.planning.chunks import Lever
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import situate

from .hosts import GIB, found, node, table

# variant, platform, memory fraction, ratio, tokens of both pools, as SGLang 0.5.16 reported them
MEASURED = [
    ("31B", "H200", 0.825, 0.8, 80_349, 64_279),
    ("31B", "H200", 0.825, 0.1, 361_570, 36_157),
    ("E2B", "H200", 0.905, 0.8, 3_337_548, 2_670_038),
    ("E2B", "H100", 0.45, 0.8, 728_328, 582_662),
]


@pytest.mark.parametrize("row", MEASURED)
def test_pools_as_measured(row: tuple[Any, ...]) -> None:
    variant, platform, share, ratio, full, sliding = row
    extra = ("--swa-full-tokens-ratio", str(ratio))
    result = found(platform, model=variant, mem_fraction=share, extra_args=extra)
    assert result.pools == pytest.approx((full, sliding), rel=0.005)
    assert result.ratio == (ratio, "user")


def test_a_draft_takes_memory_and_is_charged_for_kv() -> None:
    drafting, plain = (found("H200", model="31B", mtp=mtp) for mtp in (True, False))
    assert drafting.draft / GIB == pytest.approx(0.77, abs=0.03)
    assert drafting.cost.full > plain.cost.full and drafting.cost.sliding == plain.cost.sliding
    assert drafting.budget == plain.budget - drafting.draft
    assert drafting.running == 48 and drafting.draft_tokens == 6


def test_ngram_drafts_have_no_model() -> None:
    rows = table().platforms | {
        "H200": table().platforms["H200"].model_copy(update={"mtp_algorithm": "NGRAM"})
    }
    profiles = table().model_copy(update={"platforms": rows})
    s = situate(Request(model="31B", hardware="H200"), node("H200"), profiles)
    drafting = memory(s, 2, True)
    assert drafting is not None and drafting.draft == 0
    assert drafting.pools == memory(s, 2, False).pools  # type: ignore[union-attr]


def test_total_tokens_are_capped_by_the_user() -> None:
    capped = found("H200", model="31B", extra_args=("--max-total-tokens", "10000"))
    assert capped.pools == (10_000, 8_000)


@pytest.mark.parametrize("mtp", [False, True])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_a_concurrency_alone_gets_the_longest_requests_that_fit(count: int, mtp: bool) -> None:
    result = found("H200", model="31B", concurrency=count, mtp=mtp)
    assert result.load is not None and result.load.concurrency == count
    assert result.held(result.load).requests >= count
    longer = uniform(int(result.load.longest * 1.02))
    usual = result._replace(chunk=Lever(8_192, "sglang"))
    assert result.load.longest == 262_144 or usual.best_split(longer).held(longer).requests < count


def test_a_load_holds_more_than_the_default_split_does() -> None:
    result = found("H200", model="31B", context_length=32_768, modalities=("text",))
    load = result.load
    assert load is not None
    assert result.held(load) == (12, "full pool")
    assert result.default_split().held(load) == (2, "full pool")
    assert result.chunk == (4_096, "load")


def test_the_default_split_keeps_the_cap_of_a_draft_and_of_the_user() -> None:
    assert found("H200", 2, model="26B-A4B", mtp=True, optimize=True).default_split().running == 48
    own = ("--max-running-requests", "9")
    assert found("H200", model="31B", optimize=True, extra_args=own).default_split().running == 9
    ours = found("H200", model="31B", optimize=True)
    assert ours.running == 15 < ours.default_split().running
    few = found("H200", model="31B", mtp=True, optimize=True)
    assert few.running < few.default_split().running == 48


@pytest.mark.parametrize("mtp", [False, True])
def test_no_more_requests_run_than_the_sliding_pool_holds(mtp: bool) -> None:
    """SGLang would start more, and take running ones back: 296 times in two minutes on an H100."""
    for tokens in ("1k", "8k", "2000+1500", "32k+512", "1k:9,32k:1"):
        result = found("H100", model="12B", request_tokens=tokens, mtp=mtp)
        assert result.load is not None
        needs = result.hold(result.load)
        assert result.running * needs.sliding + needs.in_flight <= result.pools.sliding


def test_requests_longer_than_the_pool_are_not_held() -> None:
    plain = found("H200", model="31B")
    assert plain.held(uniform(plain.pools.full + 1)) == (0, "full pool")
    assert plain.held(uniform(plain.pools.full)).requests == 1


def test_a_smaller_chunk_is_preferred_to_a_larger_share() -> None:
    few = found("H200", model="31B", request_tokens="64k")
    more = found("H200", model="31B", request_tokens="64k", concurrency=8)
    assert few.load and more.load
    assert few.held(few.load).requests == 7 and more.held(more.load).requests == 8
    assert few.share == more.share and few.chunk.value > more.chunk.value


def test_the_longest_of_a_concurrency_are_for_the_chunk_of_the_plan() -> None:
    result = found("H100", model="31B", concurrency=3)
    assert result.chunk == Lever(2_048, "load") and result.load
    assert result.held(result.load).requests == 3
    assert result.load.longest > 0.98 * result.pools.full / 3
