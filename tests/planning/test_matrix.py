"""Invariants over every variant, platform, checkpoint, MTP setting and modality, and releases."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import product

import pytest

from gemma4ctl.errors import NoPlanError
from gemma4ctl.flags.parse import parse
from gemma4ctl.flags.table import load
from gemma4ctl.planning.engine import _SENTENCES, plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.rendering.command import argv, environment

from .hosts import node, table

RELEASES = (None, "0.5.13", "0.5.15.post1", "0.5.19", "0.5.23")
MODALITIES = (None, ("text",), ("text", "image"))
SPECULATIVE = (
    "--speculative-algorithm",
    "--speculative-draft-model-path",
    "--speculative-num-steps",
    "--speculative-num-draft-tokens",
    "--speculative-eagle-topk",
)
REFUSALS = {
    "checkpoint-broken",
    "checkpoint-hardware",
    "does-not-fit",
    "mtp-unsupported",
    "release-too-old",
}


def requests() -> list[Request]:
    return [
        Request(
            model=checkpoint.variant,
            checkpoint=checkpoint.name,
            hardware=platform,
            mtp=mtp,
            modalities=modalities,
            sglang_version=release,
        )
        for checkpoint, platform, mtp, modalities, release in product(
            table().checkpoints, table().platforms, (False, True), MODALITIES, RELEASES
        )
        if release is None or (modalities is None and checkpoint.name in ("bf16", "nvfp4"))
    ]


@lru_cache(maxsize=1)
def outcomes() -> tuple[list[Plan], list[NoPlanError]]:
    """The plan, or the refusal, of every request of the matrix."""
    plans, refusals = [], []
    monkey = pytest.MonkeyPatch()
    monkey.setattr("gemma4ctl.planning.engine.nearest", lambda *_: ())
    for request in requests():
        try:
            plans.append(plan(request, node(str(request.hardware)), table()))
        except NoPlanError as error:
            refusals.append(error)
    monkey.undo()
    return plans, refusals


def plans() -> list[Plan]:
    return outcomes()[0]


def test_size() -> None:
    assert len(plans()) > 1_500
    assert {error.code for error in outcomes()[1]} <= REFUSALS
    assert all(error.needed and error.found for error in outcomes()[1])
    for variant, platform in product(table().variants, table().platforms):
        assert any(
            p.variant.name == variant and p.hardware.platform == platform for p in plans()
        ), (variant, platform)


def test_sglang_accepts_every_command_as_spelled() -> None:
    for p in plans():
        flags = load(p.release)
        words = argv(p)[2:]
        read = parse(words, flags)
        assert read.problems == [], (words, read.problems)
        options = [word for word in words if word.startswith("--")]
        assert all(flags.find(word) for word in options if word != "--model-type")
        assert max(Counter(options).values()) == 1


def test_drafts_are_complete_and_of_the_same_line() -> None:
    drafts = {(c.variant, c.name): c.draft for c in table().checkpoints}
    for p in plans():
        words = argv(p)
        given = [flag for flag in SPECULATIVE if flag in words]
        if not p.value("mtp"):
            assert given == []
        elif p.hardware.platform == "Xeon":
            assert given == ["--speculative-algorithm"]
        else:
            assert given == list(SPECULATIVE)
            draft = words[words.index("--speculative-draft-model-path") + 1]
            assert draft == drafts[p.variant.name, p.variant.checkpoint] == p.variant.draft_path
            steps, tokens = (
                p.value("speculative_num_steps"),
                p.value("speculative_num_draft_tokens"),
            )
            assert isinstance(steps, int) and tokens == steps + 1


def test_attention_backend_is_accepted() -> None:
    for p in plans():
        backend, allowed = p.value("attention_backend"), table().releases[p.release]
        assert (
            backend is None
            or not allowed.attention_backends
            or (backend in allowed.attention_backends)
        )


def test_images_are_never_causal_by_our_choice() -> None:
    for p in plans():
        variant = table().variants[p.variant.name]
        if variant.bidirectional_images and p.request.modalities != ("text",):
            assert p.value("attention_backend") in (None, "triton")


def test_aiter_is_off_for_the_small_variants_on_amd_only() -> None:
    for p in plans():
        small = p.variant.name in ("E2B", "E4B") and p.hardware.vendor == "amd"
        assert ("SGLANG_USE_AITER" in environment(p)) == small


def test_tensor_parallelism_divides_the_heads() -> None:
    for p in plans():
        variant, tp = table().variants[p.variant.name], p.value("tensor_parallel_size")
        assert isinstance(tp, int)
        assert variant.attention_heads % tp == 0
        assert variant.vision.heads % tp == 0
        assert tp == p.hardware.gpu_count == len(p.hardware.units) <= p.hardware.host_gpu_count
        assert p.value("min_tensor_parallel_size") in (1, 2, 4, 8) and tp >= 1


def test_26b_with_mtp_on_nvidia_takes_two_where_they_fit() -> None:
    small = ("GB10", "RTX-4090", "RTX-5090")  # one GPU, or more than two needed
    for p in plans():
        able = p.hardware.vendor == "nvidia" and p.hardware.platform not in small
        if p.variant.name == "26B-A4B" and p.value("mtp") and able:
            assert p.value("tensor_parallel_size") == 2


def test_every_decision_is_explained() -> None:
    titles = {source.title for source in table().sources.values()} | set(_SENTENCES.values())
    for p in plans():
        for decision in p.decisions:
            assert decision.reason and decision.rule
            assert decision.source in titles, decision
        names = [decision.name for decision in p.decisions]
        assert len(names) == len(set(names))
        for warning in p.warnings:
            assert warning.message and warning.remedy
            assert not warning.message.endswith(".")


def test_capacity_is_positive() -> None:
    for p in plans():
        if p.capacity is None:
            assert p.hardware.memory_mib is None
            continue
        c = p.capacity
        assert 0 < c.weights_mib_per_gpu < (p.hardware.memory_mib or 0)
        assert c.full_layer_tokens >= 8_192 and c.swa_layer_tokens > 0
        assert c.kv_bytes_per_token > 0 and c.max_concurrent_requests >= 0
        assert 0 < c.max_context_tokens <= table().variants[p.variant.name].max_context
        assert (c.draft_mib_per_gpu > 0) == bool(p.value("mtp"))


def test_no_network_address_and_no_secret() -> None:
    for p in plans():
        words = argv(p)
        assert words[words.index("--host") + 1] == "127.0.0.1"
        assert not any("key" in word or "token=" in word for word in words)


def test_planning_is_pure() -> None:
    for request in requests()[::97]:
        inventory = node(str(request.hardware))
        before = inventory.model_dump_json(), request.model_dump_json()
        try:
            first = plan(request, inventory, table())
        except NoPlanError as error:
            with pytest.raises(NoPlanError) as again:
                plan(request, inventory, table())
            assert str(again.value) == str(error)
            continue
        assert plan(request, inventory, table()) == first
        assert (inventory.model_dump_json(), request.model_dump_json()) == before
