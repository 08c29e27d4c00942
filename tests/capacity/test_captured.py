"""What requests keep in sliding layers, against the logs of real servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.capacity.pools import Pools
from gemma4ctl.capacity.solver import Held, held
from gemma4ctl.capacity.workload import (
    EVICTION_INTERVAL,
    Keeping,
    Share,
    Workload,
    cut_prompts,
    hold,
)


def captured(name: str) -> dict[str, Any]:
    """What was captured of a server."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "captured" / name).read_text())
    return found


FOUND = captured("12B-H100-sliding.json")
CUT = captured("12B-H200-split-prompts.json")
PROMPT, ANSWER = FOUND["prompt_tokens"], FOUND["answer_tokens"]
KEEPING = Keeping(window=1_024, locked=1_024)
CHUNK = 8_192
LOAD = Workload((Share(PROMPT + ANSWER, 1.0, ANSWER),))


def test_a_request_alone() -> None:
    """It keeps what is predicted until it evicts, and then less, but never by an interval."""
    for tokens, sliding in FOUND["alone"]:
        predicted = KEEPING.tokens(Share(tokens, 1.0, tokens - PROMPT))
        assert predicted - EVICTION_INTERVAL - 4 <= sliding <= predicted


@pytest.mark.parametrize("name", ["published", "small_sliding_pool"])
def test_many_requests(name: str) -> None:
    """No more than predicted, and a chunk of requests in prefill, which do not run yet."""
    needs = hold(LOAD, KEEPING, chunk=CHUNK)
    for running, _, sliding, _ in FOUND[name]["decode"]:
        assert sliding <= running * needs.sliding + CHUNK


def test_a_sliding_pool_that_was_too_small() -> None:
    """The model that chose it forgot the locked prompts: 296 retractions instead of none."""
    case = FOUND["small_sliding_pool"]
    found = Pools(case["full_layer_tokens"], case["swa_layer_tokens"])
    assert held(found, hold(LOAD, KEEPING, chunk=CHUNK), 464) == Held(61, "sliding pool")
    full = [running for running, _, sliding, _ in case["decode"] if sliding > 0.99 * found.sliding]
    assert case["retractions"] > 100 and min(full) < 64


def test_prompts_that_prefill_cuts() -> None:
    """Beside its last window a prompt keeps what is predicted, to 5%, until answers are evicted."""
    whole, predicted = 0, cut_prompts(1_024, CUT["chunked_prefill_size"])
    for running, full, sliding, _ in CUT["decode"]:
        answered = full // running - CUT["prompt_tokens"]
        if answered < 1_024:
            whole += 1
            assert sliding / running - answered - 1_023 == pytest.approx(predicted, rel=0.05)
    assert whole > 20


def test_a_cap_that_forgot_the_cuts() -> None:
    """At the cap that was planned the server took 54 requests back; it holds a few less."""
    answer = CUT["answer_tokens"]
    load = Workload((Share(CUT["prompt_tokens"] + answer, 1.0, answer),))
    found = Pools(CUT["full_layer_tokens"], CUT["swa_layer_tokens"])
    keeping = Keeping(1_024, 1_024 + cut_prompts(1_024, CUT["chunked_prefill_size"]))
    planned, most = CUT["max_running_requests"], 10_000
    assert held(found, hold(load, KEEPING, chunk=CHUNK), most) == Held(planned, "sliding pool")
    needs = hold(load, keeping, chunk=CHUNK)
    assert held(found, needs, most) == Held(120, "sliding pool")
    for running, _, sliding, _ in CUT["decode"]:
        assert sliding <= running * needs.sliding
    assert CUT["retractions"] > 50 and planned * needs.sliding > found.sliding
