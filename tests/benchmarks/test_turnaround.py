"""The simulated scheduler of benchmarks/turnaround.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from gemma4ctl.bench.workload import SCENARIOS, lengths

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "bench" / "turnaround.json"


@pytest.fixture
def turnaround(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("turnaround")


def test_one_request_alone(turnaround: ModuleType) -> None:
    found = turnaround.serve([100], [11], 0.0)
    step = turnaround.STEP_S * (1 + 1 / turnaround.AT_ONCE) / 2
    assert found.prefills == 1
    assert found.seconds == pytest.approx(turnaround.PREFILL_S + 10 * step)


def test_requests_that_come_together_share_prefills_as_far_as_a_chunk_goes(
    turnaround: ModuleType,
) -> None:
    assert turnaround.serve([4_096] * 4, [5] * 4, 0.0).prefills == 2
    assert turnaround.serve([4_097] * 4, [5] * 4, 0.0).prefills == 4


def test_the_result_is_what_the_script_finds(turnaround: ModuleType) -> None:
    inputs, outputs = lengths(SCENARIOS["text-c100"])
    for run in json.loads(RESULT.read_text())["runs"][::3]:
        again = turnaround.serve(inputs, outputs, run["pause_ms"] / 1e3)
        assert again._asdict() == pytest.approx(run)
