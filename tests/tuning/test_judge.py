from __future__ import annotations

import pytest

from gemma4ctl.rendering.command import argv
from gemma4ctl.tuning.judge import InfeasibleError

from .conftest import judged, workload


def test_a_change_that_the_rules_allow_is_planned() -> None:
    changed = judged(workload()).plan(("--triton-attention-num-kv-splits", "32"))
    assert argv(changed)[-2:] == ["--triton-attention-num-kv-splits", "32"]


@pytest.mark.parametrize(
    ("request_", "words", "reason"),
    [
        ({}, ("--attention-backend", "fa3"), "refuses"),  # a crash, by a rule
        ({"model": "12B"}, ("--chunked-prefill-size", "2048"), "causally"),  # silently worse
        ({}, ("--mem-fraction-static", "0.05"), "does not fit"),
        ({}, ("--mem-fraction-static", "1.5"), "no share"),
    ],
)
def test_harm_is_refused_before_a_start(
    request_: dict[str, str], words: tuple[str, ...], reason: str
) -> None:
    context = {"context_length": 4096} if request_ else {}
    with pytest.raises(InfeasibleError, match=reason):
        judged(workload(), **request_, **context).plan(words)


def test_smaller_pools_than_the_load_needs_are_refused() -> None:
    load = workload(input_tokens=32_000, concurrency=16)
    judge = judged(load, model="31B", tp=1, request_tokens="32256", concurrency=16)
    assert judge.room is not None and judge.room >= 1
    with pytest.raises(InfeasibleError, match="16 requests of 32,256 tokens cannot run"):
        judge.plan(("--swa-full-tokens-ratio", "0.8"))


def test_fewer_requests_at_once_than_the_load_has_are_refused() -> None:
    load = workload(input_tokens=32_000, concurrency=16)
    judge = judged(load, model="31B", tp=1, request_tokens="32256", context_length=65_536)
    with pytest.raises(InfeasibleError, match=r"would hold \d+ requests of this load"):
        judge.plan(("--swa-full-tokens-ratio", "0.8"))


def test_unknown_memory_is_no_obstacle() -> None:
    judge = judged(workload(), "Xeon")
    assert judge.room is None
    judge.plan(("--chunked-prefill-size", "4096"))
