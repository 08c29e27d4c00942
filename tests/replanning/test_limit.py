from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.capacity.solver import Held
from gemma4ctl.replanning.limit import find

from .seen import observation


@pytest.mark.parametrize(
    ("fields", "name", "text"),
    [
        (
            {"sliding_usage": 0.96, "full_usage": 0.31},
            "sliding pool",
            "sliding pool 96%, full pool 31%, 2.0 running, 10.0 waiting",
        ),
        ({"sliding_usage": 0.3, "full_usage": 0.97}, "full pool", "full pool 97%"),
        ({"waiting": 0.1, "full_usage": 0.97}, "none", "nothing binds: no request waits"),
        (
            {"waiting": 0.0, "retracted": 3, "sliding_usage": 0.9},
            "sliding pool",
            "3 retracted",
        ),
        (
            {"running": 47.5, "most_running": 48, "full_usage": 0.9},
            "running requests",
            "48 of at most 48",
        ),
        ({"sliding_usage": 0.4, "full_usage": 0.3}, "prefill", "though the pools have room"),
    ],
)
def test_limits(fields: dict[str, Any], name: str, text: str) -> None:
    found = find(observation(**fields), None)
    assert found.name == name and text in found.text and not found.predicted


@pytest.mark.parametrize(
    ("held", "waiting", "name"),
    [
        (4, None, "full pool"),
        (4, 9.0, "full pool"),
        (40, None, "none"),
        (40, 9.0, "prefill"),  # they wait for their turn, not for room
    ],
)
def test_without_usage_the_prediction_speaks(held: int, waiting: float | None, name: str) -> None:
    found = find(observation(running=12.0, waiting=waiting), Held(held, "full pool"))
    assert found.name == name
    assert found.predicted == (name == "full pool")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"running": 61.0, "retracted": 2}, "full pool"),  # an H100 under requests in waves
        ({"running": 45.0}, "full pool"),  # as many as the pool holds
        ({"running": 12.0}, "prefill"),
        ({"running": 12.0, "retracted": 1}, "full pool"),
    ],
)
def test_a_pool_that_fills_in_waves(fields: dict[str, Any], name: str) -> None:
    usage = {"waiting": 41.0, "full_usage": 0.77, "sliding_usage": 0.58}
    roomy = usage | {"full_usage": 0.3, "sliding_usage": 0.2}  # prefixes are shared
    assert find(observation(**roomy | fields), Held(46, "full pool")).name == "prefill"
    found = find(observation(**usage | fields), Held(46, "full pool"))
    assert (found.name, found.predicted) == (name, name == "full pool")
    assert "full pool 77%" in found.text


def test_nothing_known() -> None:
    found = find(observation(waiting=None, running=None), None)
    assert found == ("none", "nothing binds: no request waits", False)
