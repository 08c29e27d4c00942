"""What requests keep in sliding layers, against the logs of real servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.capacity.pools import Pools
from gemma4ctl.capacity.solver import Held, held
from gemma4ctl.capacity.workload import EVICTION_INTERVAL, Keeping, Share, Workload, hold

FOUND: dict[str, Any] = json.loads(
    (Path(__file__).parent / "captured" / "12B-H100-sliding.json").read_text()
)
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
