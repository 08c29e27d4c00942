"""The memory of a GPU from bottom to top: weights, pools and the rest."""

from __future__ import annotations

import pytest

from gemma4ctl.capacity.stages import MIB
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.staged import checkpoint_bytes, staged, weight_bytes

from .hosts import GIB, situation


def test_weights_of_31b_as_measured() -> None:
    assert weight_bytes(situation("H200", model="31B"), 1) / GIB == pytest.approx(59.61, abs=0.03)


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
