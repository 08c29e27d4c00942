from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.bench.summary import Distribution, Summary
from gemma4ctl.tuning.metrics import METRICS
from gemma4ctl.tuning.verdict import judge, noise_of

SPEED, TPOT = METRICS["output-throughput"], METRICS["tpot"]


def summary() -> Summary:
    times = {name: Distribution(mean=n) for n, name in enumerate(("ttft_ms", "tpot_ms"), 1)}
    zeros = {
        "seconds": 1.0,
        "completed": 1,
        "input_tokens": 1,
        "output_tokens": 1,
        "request_throughput": 1.0,
        "input_throughput": 1.0,
        "total_throughput": 1.0,
        "peak_output_throughput": 1.0,
        "concurrency": 1.0,
        "peak_concurrency": 1,
        "itl_ms": Distribution(),
        "e2e_ms": Distribution(),
    }
    return Summary(output_throughput=1234.5, **times, **zeros)


def test_figures_are_those_of_the_summary() -> None:
    values = {name: metric.of(summary()) for name, metric in METRICS.items()}
    assert values == {"output-throughput": 1234.5, "tpot": 2.0, "ttft": 1.0}
    assert SPEED.show(1234.5) == "1,234 tok/s" and TPOT.show(3.987) == "3.987 ms"


def test_more_tokens_and_fewer_milliseconds_are_gains() -> None:
    assert SPEED.gain(110, 100) == pytest.approx(0.1)
    assert TPOT.gain(9, 10) == pytest.approx(0.1)
    assert SPEED.worst([1, 2]) == 1 and TPOT.worst([1, 2]) == 2


def test_repeats_decide_and_the_lucky_first_start_does_not_count() -> None:
    found = judge(SPEED, [(100.0, 101.0), (100.5,)], [(150.0,), (111.0,), (110.0,)])
    assert found.better and found.repeated
    assert found.gain == pytest.approx(110.5 / 100.5 - 1)


def test_a_gain_within_the_noise_is_none() -> None:
    found = judge(SPEED, [(100.0,), (110.0,)], [(112.0,), (106.0,)])
    assert not found.better and found.repeated
    assert found.noise == pytest.approx(10 / 2 / 105)


def test_one_bad_repeat_is_enough_to_doubt() -> None:
    assert not judge(TPOT, [(10.0,), (10.1,)], [(8.0,), (8.5,), (10.05,)]).better


@pytest.mark.parametrize(("figure", "better"), [(104.0, False), (106.0, True)])
def test_without_repeats_only_a_large_gain_counts(figure: float, better: bool) -> None:
    found = judge(SPEED, [(100.0, 100.0)], [(figure, figure)])
    assert (found.better, found.repeated) == (better, False)
    assert "not measured again" in found.reason


@given(st.lists(st.floats(90, 110), min_size=2, max_size=6))
def test_the_plan_never_beats_itself(values: list[float]) -> None:
    starts = [(value,) for value in values]
    assert not judge(SPEED, starts, starts).better
    assert noise_of(starts) >= 0.01
