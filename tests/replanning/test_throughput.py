from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.profiles.measurements import load_measurements
from gemma4ctl.replanning.throughput import Seen, fit, occupied_at, single_step_s
from tests.planning.hosts import table

SPEEDS = load_measurements().speed

SEEN = st.builds(
    Seen,
    requests_s=st.floats(0.01, 100),
    running=st.floats(1, 500),
    step_s=st.floats(0.002, 0.2),
    output_tokens=st.floats(1, 4096),
    prefill_s=st.none(),
)


@given(SEEN, st.floats(0.001, 0.1), st.floats(0, 0.01), st.floats(1, 20))
def test_the_model_gives_what_was_seen(seen: Seen, single: float, read: float, at: float) -> None:
    model = fit(seen, single_s=single, read_s=read, occupied_at=at)
    assert model.step_s(seen.running) == pytest.approx(seen.step_s)
    if seen.output_tokens * seen.step_s / seen.running < 1 / seen.requests_s:
        assert model.requests_s(seen.running) == pytest.approx(seen.requests_s)
    assert model.prefill_s >= 0 and model.weights_s >= 0 and model.request_s >= 0


@given(SEEN, st.floats(0.001, 0.1), st.floats(1, 10))
def test_more_requests_at_once_are_never_slower_and_gain_no_more_than_in_proportion(
    seen: Seen, single: float, times: float
) -> None:
    model = fit(seen, single_s=single, read_s=0.0, occupied_at=4)
    now, then = model.requests_s(seen.running), model.requests_s(seen.running * times)
    assert now * 0.999999 <= then <= now * times * 1.000001


def test_attention_of_few_requests_leaves_room() -> None:
    seen = Seen(requests_s=0.1, running=2, step_s=0.030, output_tokens=512)
    model = fit(seen, single_s=0.025, read_s=0.0, occupied_at=4)
    assert model.step_s(4) == model.step_s(2) == pytest.approx(0.030)
    assert model.step_s(8) == pytest.approx(0.035)


def test_prefill_is_what_decoding_leaves() -> None:
    seen = Seen(requests_s=0.1, running=4, step_s=0.030, output_tokens=512)
    model = fit(seen, single_s=0.025, read_s=0.0, occupied_at=4)
    assert model.prefill_s == pytest.approx(10 - 512 * 0.030 / 4)


def test_a_prefill_that_was_seen_is_no_remainder() -> None:
    seen = Seen(requests_s=0.05, running=4, step_s=0.030, output_tokens=512, prefill_s=2.0)
    model = fit(seen, single_s=0.025, read_s=0.0, occupied_at=4)
    assert model.prefill_s == 2.0
    assert model.requests_s(4) == pytest.approx(1 / (2.0 + 512 * 0.030 / 4))


def test_reading_the_cache_takes_at_least_what_the_bandwidth_allows() -> None:
    seen = Seen(requests_s=0.1, running=10, step_s=0.030, output_tokens=512)
    model = fit(seen, single_s=0.029, read_s=0.001, occupied_at=1)
    assert model.request_s == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("variant", "platform", "tp", "expected"),
    [
        ("E2B", "H200", 1, 3.99e-3),  # published
        ("E2B", "H100", 1, 3.99e-3 * 4800 / 3350),  # scaled by bandwidth
        ("31B", "H200", 1, 12.32e-3 * 2),  # scaled by ranks
        ("31B", "Unknown", 1, 62.5e9 / (0.6 * 2e12)),  # from the size of the weights
    ],
)
def test_a_single_request(variant: str, platform: str, tp: int, expected: float) -> None:
    found = single_step_s(table(), SPEEDS, variant, platform, tp)
    assert found == pytest.approx(expected, rel=0.01)


def test_few_kv_heads_need_many_requests() -> None:
    assert occupied_at(1) == 16.5 and occupied_at(4) == 4.125
    assert occupied_at(0) == 16.5  # copied heads: fewer heads than ranks
