"""Memory before the weights and beside the pools, against start-up logs."""

from __future__ import annotations

import pytest

from gemma4ctl.capacity.stages import (
    MIB,
    activations,
    before_weights,
    communicators_mib,
    cuda_graphs,
    idle_free_mib,
    pool_overhead,
    request_table,
)
from gemma4ctl.planning.staged import staged
from tests.planning.hosts import table

from .recorded import Start, starts

GIB = 1 << 30
RECORDED = starts()


@pytest.mark.parametrize("start", RECORDED, ids=lambda s: f"{s.platform}-{s.name}")
def test_memory_at_each_stage(start: Start) -> None:
    found, reported = start.memory(), start.reported
    stages = staged(start.situation(), start.tp, found)
    assert found.start / GIB == pytest.approx(reported["start_gb"], abs=0.02)
    pools = stages.full_kv + stages.sliding_kv
    assert pools / GIB == pytest.approx(reported["kv_pools_gb"], abs=0.1)
    after_pools = stages.free + stages.graphs  # graphs are captured later
    assert after_pools / GIB == pytest.approx(reported["after_pools_gb"], abs=0.3)
    assert sum(stages[1:]) + stages.free == stages.total


def test_free_memory_of_idle_cards() -> None:
    """480 of 81,559 MiB (H100) and 616 of 143,771 MiB (H200) are the driver's."""
    assert idle_free_mib(81_559) == pytest.approx(81_559 - 480, abs=2)
    assert idle_free_mib(143_771) == pytest.approx(143_771 - 616, abs=2)


def test_what_others_hold_is_missing_at_the_start() -> None:
    idle, busy = before_weights(81_559, 81_559, 1), before_weights(81_559, 40_000, 1)
    assert idle - busy == (idle_free_mib(81_559) - 40_000) * MIB
    assert before_weights(81_559, 500, 1) == 0


def test_communicators() -> None:
    """None for one rank; 0.92 GiB were measured for two, 1.84 GiB for eight."""
    assert communicators_mib(1) == 0
    assert communicators_mib(2) / 1024 == pytest.approx(0.92, abs=0.01)
    assert communicators_mib(8) / 1024 == pytest.approx(1.84, abs=0.01)
    sizes = [communicators_mib(ranks) for ranks in (1, 2, 4, 8, 16)]
    assert sizes == sorted(sizes)


def test_tables_grow_with_requests_context_and_tokens() -> None:
    assert request_table(48, 262_144, 6) == 48 * (262_144 + 4 + 6) * 4
    v = table().variants["31B"]
    assert pool_overhead(v, 2_000) - pool_overhead(v, 1_000) == 24_000


@pytest.mark.parametrize("name", table().variants)
def test_graphs_and_activations_grow(name: str) -> None:
    v = table().variants[name]
    assert 0.8 * GIB < cuda_graphs(v, 64) < cuda_graphs(v, 256) < 1.5 * GIB
    assert 0 < activations(v, 2_048, 2) < activations(v, 2_048, 1)
    assert activations(v, 8_192, 1) == pytest.approx(4 * activations(v, 2_048, 1), rel=1e-6)
    assert activations(v, 8_192, 1) < 6 * GIB
