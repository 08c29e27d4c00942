from __future__ import annotations

from itertools import pairwise

import pytest

from gemma4ctl.capacity.workload import uniform
from gemma4ctl.fitting.document import VariantFit
from gemma4ctl.fitting.outcome import Outcome
from gemma4ctl.fitting.rows import at_concurrency, at_length, for_length, published
from tests.fitting.hosts import asked, everything, outcome, planner
from tests.planning.hosts import table

VARIANTS = list(table().variants)


def of(variant: str) -> VariantFit:
    return next(one for one in everything("H200", 1).variants if one.variant == variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_longer_requests_are_no_more_at_once(variant: str) -> None:
    lengths = of(variant).lengths
    for shorter, longer in pairwise(lengths):
        assert shorter.published is not None and shorter.best is not None
        assert longer.published is not None and longer.best is not None
        assert shorter.published >= longer.published
        assert shorter.best >= longer.best


@pytest.mark.parametrize("variant", VARIANTS)
def test_more_requests_are_no_longer(variant: str) -> None:
    rows = of(variant).concurrencies
    for fewer, more in pairwise(rows):
        assert (fewer.published or 0) >= (more.published or 0)
        assert (fewer.best or 0) >= (more.best or 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_best_split_is_never_worse_than_the_published(variant: str) -> None:
    one = of(variant)
    for row in (*one.lengths, *one.concurrencies):
        assert (row.best or 0) >= (row.published or 0)


@pytest.mark.parametrize("requests", [1, 7, 64])
def test_the_longest_requests_fit_and_longer_ones_do_not(requests: int) -> None:
    usual = outcome("H200", 1)
    tokens, limit = usual.longest(requests, 262_144)
    held = usual.held(uniform(tokens))
    more = usual.held(uniform(tokens + 1))
    assert held is not None and more is not None
    assert held.requests >= requests > more.requests
    assert limit == more.limit


def test_what_the_context_ends_is_bound_by_it() -> None:
    assert outcome("H200", 1, model="E2B").longest(1, 131_072) == (131_072, "context")
    assert outcome("H200", 1, model="E2B").longest(1, 4_096) == (4_096, "context")


def test_a_split_for_the_load_is_bound_by_memory_and_any_other_by_a_pool() -> None:
    asks = outcome("H200", 1)
    row = at_length(planner("H200", 1), asks, asks, 32_768)
    assert (row.published_limit, row.best_limit) == ("full pool", "memory")
    assert row.command is not None and "--request-tokens" in row.command


def test_a_cap_on_running_requests_binds_before_memory() -> None:
    asks = outcome("H200", 1, model="E2B", extra_args=("--max-running-requests", "5"))
    row = at_length(planner("H200", 1), asks, asks, 1_024)
    assert (row.best, row.best_limit) == (5, "running requests")


def test_the_context_asked_for_becomes_that_of_each_length() -> None:
    asks = outcome("H200", 1, context_length=32_768)
    found = for_length(planner("H200", 1), asks, 8_192)
    assert found is not None
    assert (found.request.context_length, found.request.request_tokens) == (8_192, None)


def test_published_values_need_no_room_for_the_context_asked_for() -> None:
    asks = outcome("H200", 1, context_length=262_144)
    usual = published(planner("H200", 1), asks)
    assert usual is not None and usual.memory is not None
    assert usual.memory.pools.full < 262_144
    assert usual.request.safe


def test_replicas_share_the_requests() -> None:
    alone = outcome("H200", 2, tp=1)
    both = outcome("H200", 2, extra_args=("--dp-size", "2"))
    load = uniform(8_192)
    one, two = alone.held(load), both.held(load)
    assert one is not None and two is not None
    assert two.requests == 2 * one.requests


def test_without_a_memory_model_there_are_no_figures() -> None:
    asks = outcome("Xeon", model="E2B")
    row = at_length(planner("Xeon"), asks, asks, 1_024)
    assert (row.published, row.best, row.best_split) == (None, None, None)
    assert at_concurrency(planner("Xeon"), asks, asks, 1).best is None
    assert isinstance(asks, Outcome) and asks.split() is None
    assert asks.longest(1, 1_024) == (0, "memory")


def test_a_plan_is_kept_at_the_tp_of_the_one_asked_for() -> None:
    asks = planner("H200", 8).outcome(asked("H200", 8))
    found = for_length(planner("H200", 8), asks, 1_024)
    assert found is not None
    assert found.situation.tp == asks.situation.tp == 2
    own = outcome("H200", 8, extra_args=("--tp-size", "4"))
    again = for_length(planner("H200", 8), own, 1_024)
    assert again is not None
    assert (again.situation.tp, again.request.tp) == (4, None)
