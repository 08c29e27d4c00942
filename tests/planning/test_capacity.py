"""What must hold for the capacity of every variant on every GPU platform, drafting or not."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise, product
from typing import Any

import pytest

from gemma4ctl.capacity.pools import DEFAULT_RATIO, pools
from gemma4ctl.capacity.solver import held
from gemma4ctl.capacity.workload import uniform
from gemma4ctl.errors import NoPlanError
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.engine import consider
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation
from gemma4ctl.planning.staged import staged

from .hosts import gpu, host, node, planned, table

FP8 = ("--kv-cache-dtype", "fp8_e4m3")
MODELLED = tuple(name for name, row in table().platforms.items() if row.memory_mib)
KINDS: dict[str, dict[str, Any]] = {
    "bf16": {}, "mtp": {"mtp": True}, "fp8": {"extra_args": FP8},
    "mtp-fp8": {"mtp": True, "extra_args": FP8},
}  # fmt: skip
CASES = list(product(table().variants, MODELLED, KINDS))
CONTEXTS = (1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144)
LOADS: tuple[dict[str, Any], ...] = (
    {}, {"request_tokens": "8k"}, {"request_tokens": "8k", "concurrency": 40},
)  # fmt: skip
GRID = [n / 50 for n in range(1, 51)] + [n / 1_000 for n in range(1, 20)]


@lru_cache(maxsize=4_096)
def planned_memory(
    variant: str, platform: str, kind: str, **request: Any
) -> tuple[Situation, Memory] | None:
    """The situation and memory of a plan on a simulated node; None where there is no plan."""
    try:
        s = consider(
            Request(model=variant, hardware=platform, **KINDS[kind], **request),
            node(platform),
            table(),
        ).situation
    except NoPlanError:
        return None
    found = memory(s, s.tp, s.mtp)
    assert found is not None
    return s, found


def test_every_case_but_few_has_a_plan() -> None:
    missing = [case for case in CASES if planned_memory(*case) is None]
    assert len(missing) < len(CASES) / 20, missing


@pytest.mark.parametrize("load", [{}, {"optimize": True}], ids=["published", "optimized"])
def test_pools_and_weights_never_exceed_the_memory(load: dict[str, Any]) -> None:
    for case in CASES:
        result = planned_memory(*case, **load)
        if result is None:
            continue
        s, m = result
        bought = m.pools.full * m.cost.full + m.pools.sliding * m.cost.sliding
        assert m.weights + m.draft + bought <= m.start * m.share.value + 1, case
        assert m.start < min(unit.memory_total_mib or 0 for unit in s.selection(s.tp).units) << 20
        stages = staged(s, s.tp, m)
        assert min(stages) >= 0, case
        assert stages.total == sum(stages[1:]) + stages.free
        assert stages.full_kv + stages.sliding_kv <= bought


@pytest.mark.parametrize("load", [{}, {"optimize": True}], ids=["published", "optimized"])
def test_the_sliding_pool_holds_a_window(load: dict[str, Any]) -> None:
    for case in CASES:
        result = planned_memory(*case, **load)
        if result is not None:
            _, m = result
            assert m.pools.sliding >= m.window + m.page, case
            assert m.held(uniform(m.window)).requests >= 1, case


def test_a_longer_context_never_raises_concurrency() -> None:
    """At the same TP and memory: by the pools of one plan, and by the best split for each."""
    for case in CASES:
        result = planned_memory(*case)
        if result is None:
            continue
        _, m = result
        lengths = [n for n in CONTEXTS if n <= table().variants[case[0]].max_context]
        fixed = [m.held(uniform(n)).requests for n in lengths]
        best = [m.best_split(uniform(n)).held(uniform(n)).requests for n in lengths]
        assert fixed == sorted(fixed, reverse=True), case
        assert best == sorted(best, reverse=True), case


def test_a_longer_context_never_raises_what_a_plan_holds() -> None:
    """Whole plans: the rules choose chunk, share, cap and split anew for each context."""
    for variant, platform in product(table().variants, ("H200", "H100", "B200", "RTX-4090")):
        counts = []
        for tokens in CONTEXTS:
            result = (
                planned_memory(variant, platform, "bf16", context_length=tokens, tp=4)
                if (variant not in ("E2B", "E4B"))
                else planned_memory(variant, platform, "bf16", context_length=tokens)
            )
            counts.append(result[1].held(uniform(tokens)).requests if result else 0)
        assert counts == sorted(counts, reverse=True), (variant, platform, counts)


def test_no_split_of_a_plan_holds_more() -> None:
    for case in CASES:
        result = planned_memory(*case, optimize=True)
        if result is None:
            continue
        _, m = result
        assert m.load is not None and m.ratio.origin == "load"
        needs, count = m.hold(m.load), m.held(m.load).requests
        for ratio in (*GRID, DEFAULT_RATIO):
            other = pools(m.budget, m.cost, ratio, page=m.page)
            assert held(other, needs, m.running).requests <= count, (case, ratio)


def test_an_optimized_plan_holds_no_less_than_the_published_one() -> None:
    for case in CASES:
        usual, best = planned_memory(*case), planned_memory(*case, optimize=True)
        if usual is None or best is None:
            assert usual is None, case
            continue
        load = best[1].load
        assert load is not None
        if usual[0].tp == best[0].tp:
            assert best[1].held(load).requests >= usual[1].held(load).requests, case


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("platform", ["H200", "H100", "RTX-4090", "MI300X"])
def test_more_free_memory_never_lowers_capacity(platform: str, kind: str) -> None:
    """Pools of whole plans; shares have two or three decimals, which may cost their rounding."""
    total = table().platforms[platform].memory_mib or 0
    for variant, load in product(table().variants, LOADS):
        found = [
            on(host(gpu(0, platform, memory_free_mib=free)), variant, kind, load)
            for free in range(4_000, total, total // 20)
        ]
        working = [m for m in found if m is not None]
        assert found[len(found) - len(working) :] == working, (variant, load)  # no gap
        for less, more in pairwise(working):
            rounding = 0.001 * more.start if more.share.source == "measured" else 0.0
            assert more.budget >= less.budget - rounding, (variant, load, less, more)
            if load and less.chunk == more.chunk:
                slack = rounding / (more.cost.full * 8_192) + 1
                named = uniform(8_192)
                assert more.held(named).requests >= less.held(named).requests - slack


def on(inventory: Inventory, variant: str, kind: str, load: dict[str, Any]) -> Memory | None:
    """The memory of a plan on one GPU; None where there is no plan."""
    try:
        s = consider(Request(model=variant, **KINDS[kind], **load), inventory, table()).situation
    except NoPlanError:
        return None
    return memory(s, s.tp, s.mtp)


# --- what the plan says of it


def test_capacity_names_both_splits() -> None:
    plain = planned(node("H200", 1), model="31B").capacity
    assert plain and plain.load == "32,768 tokens"
    assert [split.title for split in plain.splits] == ["this plan", "split for the load"]
    assert [split.requests for split in plain.splits] == [2, 12]
    tuned = planned(node("H200", 1), model="31B", context_length=32_768, modalities=("text",))
    assert tuned.capacity and [split.title for split in tuned.capacity.splits] == [
        "this plan",
        "SGLang's default split",
    ]
    assert [split.requests for split in tuned.capacity.splits] == [12, 2]
    assert tuned.capacity.splits[0].full_layer_tokens == tuned.capacity.full_layer_tokens
    assert tuned.capacity.max_concurrent_requests == 12


@pytest.mark.parametrize(
    "asked",
    [{}, {"safe": True, "request_tokens": "100k"}, {"safe": True, "concurrency": 4}],
    ids=["nothing", "lengths", "count"],
)
@pytest.mark.parametrize("variant", ["31B", "26B-A4B", "E2B"])
@pytest.mark.parametrize("platform", ["H100", "MI300X", "RTX-5090"])
def test_what_another_plan_would_hold_is_what_it_does(
    platform: str, variant: str, asked: dict[str, Any]
) -> None:
    """Its chunk and share too, not its split alone."""
    this = planned(node(platform), model=variant, **asked)
    tp = this.hardware.gpu_count
    wanted = {**asked, "safe": False, "optimize": True, "tp": tp}
    best = planned(node(platform), model=variant, **wanted)
    assert this.capacity and best.capacity
    assert this.capacity.load == best.capacity.load
    assert this.capacity.splits[1].requests == best.capacity.splits[0].requests


def test_a_limit_on_tokens_leaves_the_rest_to_the_sliding_pool() -> None:
    """--max-total-tokens is of the full pool alone."""
    limit = ("--max-total-tokens", "20000")
    plan = planned(node("H200", 1), model="31B", request_tokens="1k", extra_args=limit)
    assert plan.capacity
    assert plan.capacity.full_layer_tokens == plan.capacity.swa_layer_tokens == 20_000
    assert plan.capacity.splits[0].requests >= plan.capacity.splits[1].requests


def test_unchunked_prefill_must_fit_in_the_sliding_pool() -> None:
    flags = ("--swa-full-tokens-ratio", "0.01", "--chunked-prefill-size", "-1")
    plan = planned(node("H200", 1), model="31B", extra_args=flags)
    assert plan.capacity and plan.capacity.splits[0].requests == 0
    assert plan.capacity.max_context_tokens == plan.capacity.swa_layer_tokens - 2
    assert "prefill-beyond-pool" in {warning.code for warning in plan.warnings}


@pytest.mark.parametrize(("release", "waits"), [("0.5.15", True), ("0.5.16", False)])
def test_chunks_longer_than_the_sliding_pool(release: str, waits: bool) -> None:
    """Releases before 0.5.16 do not shorten them."""
    flags = ("--swa-full-tokens-ratio", "0.01")
    plan = planned(node("H200", 1), model="31B", extra_args=flags, sglang_version=release)
    assert plan.capacity and plan.capacity.swa_layer_tokens < 8_192
    assert (plan.capacity.splits[0].requests == 0) == waits
    assert ("prefill-beyond-pool" in {warning.code for warning in plan.warnings}) == waits


def test_no_cap_that_would_replace_the_split_without_the_radix_cache() -> None:
    """From 0.5.14 on a cap and no radix cache make SGLang size the sliding pool by the cap."""
    off: dict[str, Any] = {"model": "31B", "request_tokens": "32k"}
    off["extra_args"] = ("--disable-radix-cache",)
    plan = planned(node("H200", 1), **off)
    names = {d.name for d in plan.decisions if d.flag}
    assert "swa_full_tokens_ratio" in names and "max_running_requests" not in names
    assert "radix-cap-pool" not in {warning.code for warning in plan.warnings}


@pytest.mark.parametrize("mtp", [False, True])
def test_a_cap_says_whether_it_was_asked_for(mtp: bool) -> None:
    """More than the sliding pool holds run where the user asks for them."""

    def reason(**asked: Any) -> tuple[bool, str]:
        plan = planned(node("H200", 1), model="31B", context_length=65_536, mtp=mtp, **asked)
        found = plan.decision("max_running_requests")
        assert found and found.flag == "--max-running-requests"
        return found.value == asked.get("concurrency"), found.reason.split(";")[0]

    assert reason() == (False, "what the sliding pool holds of the load")
    assert reason(concurrency=40) == (True, "the concurrency asked for")


def without_radix_cache(*flags: str, **request: Any) -> Plan:
    return planned(node("H200", 1), **request, extra_args=("--disable-radix-cache", *flags))


def test_a_cap_without_the_radix_cache_sizes_the_sliding_pool() -> None:
    plan = without_radix_cache("--max-running-requests", "64", model="31B")
    found = plan.capacity
    assert found and found.swa_layer_tokens == 64 * (1023 + 128 + 1 + 1) + 2 * 8192 + 1
    assert found.basis.endswith("with a sliding pool for 64 requests")
    stages = found.stages
    assert stages and found.kv_bytes_per_token * found.full_layer_tokens / 2**20 == pytest.approx(
        stages.full_kv + stages.sliding_kv, abs=2
    )
    ratio = without_radix_cache(
        "--max-running-requests", "64", "--swa-full-tokens-ratio", "0.1", model="31B"
    )
    assert ratio.capacity and ratio.capacity.full_layer_tokens == found.full_layer_tokens
    assert "radix-cap-pool" in {warning.code for warning in ratio.warnings}


def test_chunks_are_cut_where_a_capped_pool_holds_no_whole_prompt() -> None:
    plan = without_radix_cache("--max-running-requests", "8", model="31B", context_length=8_192)
    assert plan.value("chunked_prefill_size") != -1
    assert plan.capacity and plan.capacity.splits[0].requests == 8
    assert "radix-cap-chunk" not in {warning.code for warning in plan.warnings}


def test_drafts_have_a_cap_of_their_own() -> None:
    plan = without_radix_cache(model="E2B", mtp=True, request_tokens="32k")
    found = plan.capacity
    assert found and plan.value("swa_full_tokens_ratio") is None
    chunk = int(str(plan.value("chunked_prefill_size") or 8192))
    assert found.swa_layer_tokens == 48 * (511 + 128 * 6 + 1 + 2 * 6) + 2 * chunk + 1


@pytest.mark.parametrize(("release", "by_cap"), [("0.5.13", False), ("0.5.14", True)])
def test_releases_before_0_5_14_size_it_by_the_ratio(release: str, by_cap: bool) -> None:
    flags = ("--max-running-requests", "16")
    found = without_radix_cache(*flags, model="31B", sglang_version=release).capacity
    assert found and ("ratio" not in found.basis) == by_cap


@pytest.mark.parametrize(("release", "by_cap"), [("0.5.21", True), ("0.5.22", False)])
def test_releases_from_0_5_22_on_size_it_by_the_ratio_where_prompts_are_not_cut(
    release: str, by_cap: bool
) -> None:
    flags = ("--max-running-requests", "16", "--chunked-prefill-size", "-1")
    plan = without_radix_cache(*flags, model="31B", sglang_version=release)
    assert plan.capacity and ("ratio" not in plan.capacity.basis) == by_cap
    assert ("radix-cap-chunk" in {warning.code for warning in plan.warnings}) == by_cap


def test_a_draft_s_layers_are_charged_in_such_pools_from_0_5_16_on() -> None:
    def full(release: str) -> int:
        found = without_radix_cache(model="E2B", mtp=True, sglang_version=release).capacity
        assert found
        return found.full_layer_tokens

    assert full("0.5.15") > 1.4 * full("0.5.16")


def test_a_cap_that_leaves_nothing_is_refused_with_the_reason() -> None:
    with pytest.raises(NoPlanError) as raised:
        without_radix_cache("--max-running-requests", "4096", model="31B")
    assert "a sliding-window pool for 4096 requests" in str(raised.value.found)
    assert "lower --max-running-requests" in raised.value.remedies[0]


def test_the_image_cache_is_taken_from_the_budget_of_newer_releases() -> None:
    def bought(release: str) -> float:
        plan = planned(node("H200", 1), model="31B", sglang_version=release)
        assert plan.capacity
        return plan.capacity.full_layer_tokens * plan.capacity.kv_bytes_per_token / (1 << 20)

    assert bought("0.5.16") == bought("0.5.17")
    assert bought("0.5.17") - bought("0.5.18") == pytest.approx(100, abs=2)
    assert bought("0.5.18") == bought("0.5.23")


def test_capacity_has_the_stages_in_mib() -> None:
    capacity = planned(node("H200", 1), model="31B").capacity
    assert capacity and capacity.stages
    stages = capacity.stages.model_dump()
    assert stages["total"] == 143_771 and stages["weights"] == capacity.weights_mib_per_gpu
    assert sum(stages.values()) - 2 * 143_771 == pytest.approx(0, abs=len(stages))


# --- what never fits


def refusal(inventory: Inventory, **request: Any) -> NoPlanError:
    with pytest.raises(NoPlanError) as raised:
        planned(inventory, **request)
    error = raised.value
    assert error.exit_code == 3 and error.needed and error.found and error.remedies
    return error


def test_a_context_beyond_the_model() -> None:
    error = refusal(node("H200", 1), model="31B", context_length=300_000)
    assert error.code == "context-too-long"
    assert (error.needed, error.found) == ("at most 262,144 tokens", "300,000")
    assert error.remedies[0] == "--context-length 262144"
    error = refusal(node("H200", 1), model="31B", request_tokens="1k:9,300k:1")
    assert (error.code, error.found) == ("request-too-long", "--request-tokens 1k:9,300k:1")
    for own in ({"context_length": 8_192}, {"extra_args": ("--context-length", "8192")}):
        error = refusal(node("H200", 1), model="31B", request_tokens="32k", **own)
        dashes = "-- " if "extra_args" in own else ""
        assert error.remedies[0] == f"{dashes}--context-length 32768"


def test_a_ratio_of_the_users_own_that_leaves_no_window() -> None:
    flags = ("--swa-full-tokens-ratio", "0.001")
    error = refusal(node("H200", 1), model="31B", extra_args=flags)
    assert "your --swa-full-tokens-ratio 0.001" in str(error.found)
    assert error.remedies[0] == "leave --swa-full-tokens-ratio to the plan"


def test_a_concurrency_that_can_never_fit() -> None:
    error = refusal(node("H200", 1), model="31B", concurrency=4_000, context_length=32_768)
    assert error.code == "load-does-not-fit"
    assert "even 256 tokens" in error.message and "GiB of KV cache a GPU" in str(error.needed)
    count = int(error.remedies[0].removeprefix("--concurrency "))
    assert f"which hold {count} (" in str(error.found)
    kept = planned(node("H200", 1), model="31B", concurrency=count, context_length=32_768)
    assert kept.capacity


@pytest.mark.parametrize("asked", [100, 1_000, 5_000, 100_000])
@pytest.mark.parametrize(("platform", "model"), [("H200", "31B"), ("H100", "12B")])
def test_a_load_for_which_the_nearest_concurrency_is_named(
    platform: str, model: str, asked: int
) -> None:
    """However many were asked for, whose tables and graphs would take memory of the pools."""
    wanted = {"model": model, "request_tokens": "32k"}
    error = refusal(node(platform, 1), concurrency=asked, **wanted)
    count = int(error.remedies[0].removeprefix("--concurrency "))
    assert f"which hold {count} (" in str(error.found)
    plan = planned(node(platform, 1), concurrency=count, **wanted)
    assert plan.capacity and plan.capacity.splits[0].requests >= count
    refusal(node(platform, 1), concurrency=count + 1, **wanted)


def test_more_short_requests_than_a_split_for_long_ones_holds() -> None:
    """A split for 256k requests holds few short ones; one for short ones holds them all."""
    plan = planned(node("H100", 1), model="12B", context_length=262_144, concurrency=64)
    assert "concurrency-exceeds-kv" in {warning.code for warning in plan.warnings}


@pytest.mark.parametrize(
    "load",
    [
        {"model": "12B", "context_length": 131_072, "concurrency": 1_000},
        {"model": "31B", "mtp": True, "concurrency": 1_000},
        {"model": "31B", "request_tokens": "32k", "concurrency": 60},
    ],
    ids=["context", "count", "lengths"],
)
def test_more_gpus_are_taken_before_a_load_is_refused(load: dict[str, Any]) -> None:
    refusal(node("H100", 1), **load)
    plan = planned(node("H100", 8), **load)
    chosen = next(d for d in plan.decisions if d.name == "tensor_parallel_size")
    assert int(str(chosen.value)) > 1


def test_where_nothing_holds_the_load_the_tp_that_holds_the_most() -> None:
    plan = planned(node("H100", 8), model="12B", context_length=131_072, concurrency=1_000)
    chosen = next(d for d in plan.decisions if d.name == "tensor_parallel_size")
    assert chosen.value == 8 and "none holds the 1000 requests" in chosen.reason
    assert plan.capacity and plan.capacity.splits[0].requests < 1_000


def test_a_count_without_lengths_gets_room_for_useful_requests() -> None:
    """One RTX 5090 holds 16 requests of some hundred tokens, two hold long ones."""
    plan = planned(node("RTX-5090", 2), model="12B", concurrency=16)
    assert plan.hardware.gpu_count == 2 and plan.capacity
    assert int(plan.capacity.load.split()[0].replace(",", "")) > 8_192
    many = planned(node("H100", 8), model="31B", concurrency=300)  # on no TP are they that long
    assert many.hardware.gpu_count == 8


def test_what_gives_images_larger_chunks() -> None:
    """A remedy that can be taken: no context that is shorter than the requests named."""
    wanted: dict[str, Any] = {"model": "12B", "request_tokens": "32k"}
    plan = planned(node("H200", 1), **wanted)
    cut = next(warning for warning in plan.warnings if warning.code == "images-cut")
    assert cut.remedy.startswith("--context-length 32768 ")
    other = planned(node("H200", 1), **wanted, context_length=32_768)
    kept = next(warning for warning in other.warnings if warning.code == "images-cut")
    assert kept.message != cut.message and "lower --mem-fraction" in kept.remedy
    long = planned(node("H200"), model="31B", context_length=200_000)
    kept = next(warning for warning in long.warnings if warning.code == "images-cut")
    assert "lower --mem-fraction" in kept.remedy


def test_a_split_for_the_load_is_no_reason_for_fewer_gpus() -> None:
    """With a split for long requests one L40S starts, but holds no more than one of them."""
    wanted: dict[str, Any] = {"model": "26B-A4B", "checkpoint": "fp8"}
    usual = planned(node("L40S", 4), **wanted)
    best = planned(node("L40S", 4), optimize=True, **wanted)
    assert usual.hardware.gpu_count == best.hardware.gpu_count


def test_a_larger_share_is_no_reason_for_fewer_gpus() -> None:
    """Where the usual share leaves no useful KV cache, a node gives another GPU instead."""
    for platform in ("H20", "H100-NVL"):
        for request in ({}, {"mtp": True}, {"request_tokens": "32k"}):
            plan = planned(node(platform), model="31B", **request)
            assert plan.hardware.gpu_count == 2
    plan = planned(node("H20"), model="31B")
    share = plan.decision("mem_fraction_static")
    assert share and share.value == 0.85
    assert planned(node("H20", 1), model="31B").hardware.gpu_count == 1


def test_servers_of_one_plan_share_the_load() -> None:
    """Data-parallel servers: each holds its share, and the figures are of all."""
    wanted: dict[str, Any] = {"model": "12B", "request_tokens": "4k"}
    one = planned(node("H200", 1), concurrency=140, **wanted).capacity
    four = planned(node("H200", 4), concurrency=560, extra_args=("--dp-size", "4"), **wanted)
    assert one and four.capacity
    assert four.capacity.stages == one.stages
    assert four.capacity.splits[0].requests == 4 * one.splits[0].requests
    assert four.capacity.max_concurrent_requests == 4 * one.max_concurrent_requests
    assert "concurrency-exceeds-kv" not in {warning.code for warning in four.warnings}


def test_nothing_is_longer_than_the_context_asked_for() -> None:
    for request in ({"context_length": 8_192}, {"extra_args": ("--context-length", "8192")}):
        plan = planned(node("H200", 1), model="12B", concurrency=4, **request)
        assert plan.capacity and plan.capacity.max_context_tokens == 8_192
        assert plan.capacity.load == "8,192 tokens, 4 at once"


def test_a_full_gpu() -> None:
    error = refusal(host(gpu(0, "H100", memory_free_mib=1_500)), model="E2B")
    assert error.code == "does-not-fit"
    assert "1,500 of 81,559 MiB free" in str(error.found)
    free, other = error.remedies
    assert free == "end what holds 79,578 MiB of GPU 0 (nvidia-smi or amd-smi lists it)"
    assert other == "gemma4ctl suggest --model E2B --hardware H200"


def test_a_gpu_that_is_too_small_is_not_said_to_be_taken() -> None:
    error = refusal(node("RTX-4090", 1), model="31B")
    assert not any("end what holds" in remedy for remedy in error.remedies)


def test_a_slice_that_is_too_small() -> None:
    from .hosts import mig

    error = refusal(host(mig(0, "H100", 9_728)), model="12B")
    assert error.code == "does-not-fit"
    assert "9,678 of 9,728 MiB free" in str(error.found) and "23,808 MiB" in str(error.needed)
    assert "Gemma 4 12B (bf16) does not fit on a MIG slice of H100" in str(error)
    assert "the fullest MIG slice" in str(error.found)
    assert error.remedies[0] == "a larger MIG slice, or the GPU without MIG"


@pytest.mark.parametrize(("tokens", "first"), [("2k", 42), ("8k", 29), ("32k+512", 19)])
def test_a_refused_load_needs_more_than_there_is(tokens: str, first: int) -> None:
    """Also by one request, where the prefill in flight decides."""
    wanted: dict[str, Any] = {"model": "31B", "request_tokens": tokens}
    assert planned(node("H200", 1), **wanted, concurrency=first - 1)
    error = refusal(node("H200", 1), **wanted, concurrency=first)
    assert error.code == "load-does-not-fit" and error.needed and error.found
    need, found = (float(text.split(" GiB")[0]) for text in (error.needed, error.found))
    assert need > found and f"which hold {first - 1} " in error.found
    assert ("names the answer" in error.needed) == ("+" not in tokens)
