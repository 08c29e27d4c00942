"""What a release of SGLang keeps in the KV cache, for how long, and at what cost."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.capacity.workload import Keeping, cut_prompts
from gemma4ctl.planning.memory import memory

from .hosts import found, node, planned, situation


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


def test_pages_of_trtllm_are_whole() -> None:
    s = situation("B200", 1, model="31B", modalities=("text",))
    plan = planned(node("B200", 1), model="31B", modalities=("text",))
    assert plan.value("attention_backend") == "trtllm_mha"
    assert plan.capacity is not None
    assert plan.capacity.full_layer_tokens % 64 == plan.capacity.swa_layer_tokens % 64 == 0
    assert memory(s, 1, False).page == 1  # type: ignore[union-attr] # no backend decided yet


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
