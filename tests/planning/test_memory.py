"""The memory model for whole plans: measured figures, loads, the share, and what drafts change."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.capacity.stages import MIB
from gemma4ctl.capacity.workload import Keeping, cut_prompts, uniform
from gemma4ctl.planning.chunks import Lever
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.memory import checkpoint_bytes, memory, staged, weight_bytes
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation, situate

from .hosts import gpu, host, mig, node, planned, table

GIB = 1 << 30

# variant, platform, memory fraction, ratio, tokens of both pools, as SGLang 0.5.16 reported them
MEASURED = [
    ("31B", "H200", 0.825, 0.8, 80_349, 64_279),
    ("31B", "H200", 0.825, 0.1, 361_570, 36_157),
    ("E2B", "H200", 0.905, 0.8, 3_337_548, 2_670_038),
    ("E2B", "H100", 0.45, 0.8, 728_328, 582_662),
]


def situation(platform: str, gpus: int | None = None, **request: Any) -> Situation:
    return situate(Request(hardware=platform, **request), node(platform, gpus), table())


def found(platform: str, gpus: int = 1, /, **request: Any) -> Memory:
    """The memory of a plan with TP ``gpus`` on as many."""
    result = memory(situation(platform, gpus, **request), gpus, bool(request.get("mtp")))
    assert result is not None
    return result


@pytest.mark.parametrize("row", MEASURED)
def test_pools_as_measured(row: tuple[Any, ...]) -> None:
    variant, platform, share, ratio, full, sliding = row
    extra = ("--swa-full-tokens-ratio", str(ratio))
    result = found(platform, model=variant, mem_fraction=share, extra_args=extra)
    assert result.pools == pytest.approx((full, sliding), rel=0.005)
    assert result.ratio == (ratio, "user")


def test_weights_of_31b_as_measured() -> None:
    assert weight_bytes(situation("H200", model="31B"), 1) / GIB == pytest.approx(59.61, abs=0.03)


@pytest.mark.parametrize("name", ["31B", "26B-A4B"])
def test_a_checkpoint_may_bring_an_fp8_cache(name: str) -> None:
    own = ("--kv-cache-dtype", "bf16")
    declared = found("B200", model=name, checkpoint="nvfp4", mem_fraction=0.8)
    asked = found("B200", model=name, checkpoint="nvfp4", mem_fraction=0.8, extra_args=own)
    assert declared.cost.cell(0.8) * 2 == asked.cost.cell(0.8)
    auto = ("--kv-cache-dtype", "auto")
    again = found("B200", model=name, checkpoint="nvfp4", mem_fraction=0.8, extra_args=auto)
    assert again.pools == declared.pools


def test_a_cache_that_is_not_known_is_of_bf16_and_named_where_it_counts() -> None:
    fp8 = {"model": "31B", "checkpoint": "fp8"}
    bf16 = found("H200", model="31B").cost
    for release, warns in {
        "0.5.16": False,
        "0.5.18": False,
        "0.5.19": True,
        "0.5.23": True,
    }.items():
        assert found("H200", **fp8, sglang_version=release).cost == bf16
        said = [w.code for w in planned("H200", **fp8, sglang_version=release).warnings]
        assert ("kv-cache-unknown" in said) == warns
    chosen = planned(
        "H200", **fp8, sglang_version="0.5.23", extra_args=("--kv-cache-dtype", "bf16")
    )
    assert "kv-cache-unknown" not in [w.code for w in chosen.warnings]


def test_fp8_cache_halves_a_token() -> None:
    fp8 = ("--kv-cache-dtype", "fp8_e4m3")
    small = found("H200", model="31B", mem_fraction=0.85, extra_args=fp8)
    large = found("H200", model="31B", mem_fraction=0.85)
    assert small.cost.full * 2 == large.cost.full
    assert small.pools.full == pytest.approx(2 * large.pools.full, abs=2)


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


def test_pages_of_trtllm_are_whole() -> None:
    s = situation("B200", 1, model="31B", modalities=("text",))
    plan = planned(node("B200", 1), model="31B", modalities=("text",))
    assert plan.value("attention_backend") == "trtllm_mha"
    assert plan.capacity is not None
    assert plan.capacity.full_layer_tokens % 64 == plan.capacity.swa_layer_tokens % 64 == 0
    assert memory(s, 1, False).page == 1  # type: ignore[union-attr] # no backend decided yet


# --- loads


def test_published_values_stand_without_a_load() -> None:
    plain = found("H200", model="31B")
    assert plain.load is None and plain.ratio == (0.8, "sglang") and plain.chunk.origin == "sglang"
    safe = found("H200", model="31B", context_length=32_768, concurrency=8, safe=True)
    assert safe.pools == plain.pools and safe.load is None


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"context_length": 32_768}, "32,768 tokens"),
        ({"context_length": 32_768, "concurrency": 4}, "32,768 tokens, 4 at once"),
        ({"request_tokens": "1k:9,32k:1"}, "90% 1,024 + 10% 32,768 tokens"),
        ({"request_tokens": "1k", "context_length": 32_768}, "1,024 tokens"),
        ({"optimize": True}, "32,768 tokens"),
        ({"context_length": 32_768, "extra_args": ("--context-length", "8192")}, "8,192 tokens"),
    ],
)
def test_the_load_that_is_named(request_: dict[str, Any], text: str) -> None:
    load = found("H200", model="31B", **request_).load
    assert load is not None and load.text() == text


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


def test_sglangs_own_cap_where_the_plan_names_none() -> None:
    """Without radix cache a cap would size the sliding pool: tables and graphs are SGLang's own."""
    wanted: dict[str, Any] = {"model": "12B", "request_tokens": "32k"}
    capped = found("H100", **wanted)
    own = found("H100", **wanted, extra_args=("--disable-radix-cache",))
    assert capped.running < 64 and own.running > 2_048
    assert own.share.value < capped.share.value


def test_what_a_release_keeps_in_sliding_layers() -> None:
    def keeping(release: str, *own: str) -> Keeping:
        return found("H200", model="12B", sglang_version=release, extra_args=own).keeping

    assert keeping("0.5.16") == Keeping(1_024, 1_024 + 64, 128, 1)
    assert keeping("0.5.16", "--chunked-prefill-size", "-1").locked == 1_024
    assert keeping("0.5.13", "--chunked-prefill-size", "4096").interval == 1_024
    assert keeping("0.5.14").interval == 128
    assert keeping("0.5.16", "--disable-radix-cache").locked == 0
    assert keeping("0.5.16", "--page-size", "48").locked == 1_056 + 64


@pytest.mark.parametrize(
    ("words", "locked"),
    [
        (("--chunked-prefill-size", "2048"), 1_024 + 2_048),
        (("--chunked-prefill-size", "-1", "--context-length", "65536"), 1_024 + 65_536),
        (("--chunked-prefill-size", "2048", "--disable-radix-cache"), 0),
    ],
)
def test_the_prefill_chunks_that_older_releases_lock(words: tuple[str, ...], locked: int) -> None:
    """The nodes of their radix trees are whole chunks, and a prompt's last may be a short one."""
    for release in ("0.5.11", "0.5.12", "0.5.13", "0.5.15.post1"):
        result = found("H200", model="12B", sglang_version=release, extra_args=words)
        assert result.keeping.locked == locked
    newer = found("H200", model="12B", sglang_version="0.5.16", extra_args=words)
    assert newer.keeping.locked == min(locked, 1_024 + cut_prompts(1_024, int(words[1])))


def test_smaller_chunks_lock_less_in_older_releases() -> None:
    few = found("H100", model="12B", request_tokens="32k", sglang_version="0.5.15")
    assert few.chunk.origin == "load" and few.keeping.locked == 1_024 + few.chunk.value


@pytest.mark.parametrize(("release", "interval"), [("0.5.17", 128 * 6), ("0.5.18", 128 + 5)])
def test_steps_between_two_evictions_became_tokens(release: str, interval: int) -> None:
    result = found("H200", model="12B", sglang_version=release, mtp=True)
    assert result.draft_tokens == 6 and result.keeping.interval == interval


def test_requests_longer_than_the_pool_are_not_held() -> None:
    plain = found("H200", model="31B")
    assert plain.held(uniform(plain.pools.full + 1)) == (0, "full pool")
    assert plain.held(uniform(plain.pools.full)).requests == 1


def test_too_little_for_a_load_raises_the_share_on_measured_hardware() -> None:
    plain = found("H100", model="31B")
    assert plain.share.value > 0.8 and plain.share.source == "measured"
    assert "too little fits" in plain.share.reason
    kept = found("H100", model="31B", mem_fraction=0.83)
    assert kept.share.value == 0.83


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


# --- hosts


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
    assert 28e9 < checkpoint_bytes(situation("H200", model="31B", checkpoint="fp8")) < 38e9


def test_stages_of_a_plan_add_up() -> None:
    s = situation("H200", 2, model="31B", mtp=True)
    result = memory(s, 2, True)
    assert result is not None
    stages = staged(s, 2, result)
    assert sum(stages[1:]) + stages.free == stages.total == 143_771 * MIB
    assert stages.free > 0 and stages.draft == result.draft
    pools = stages.full_kv + stages.sliding_kv
    assert pools < result.budget  # SGLang charges the draft's layers, which own no KV
    assert result.pools.full * 10 * 4 * 512 * 2 == pytest.approx(stages.full_kv, rel=0.01)
