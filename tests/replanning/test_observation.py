from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.capacity.workload import Share
from gemma4ctl.replanning.observation import mix_of, weighted_mix

from .seen import observation


def test_equal_lengths_are_one_share() -> None:
    assert mix_of([(1_000, 24)] * 7) == (Share(1_024, 1.0, 24),)


def test_the_long_tail_is_kept_apart() -> None:
    mix = mix_of([(900, 100)] * 90 + [(29_000, 1_000)] * 9 + [(90_000, 10_000)])
    assert [share.tokens for share in mix] == [1_000, 30_000, 100_000]
    assert [share.answer for share in mix] == [100, 1_000, 10_000]
    assert [share.share for share in mix] == pytest.approx([0.9, 0.09, 0.01])


@given(st.lists(st.tuples(st.integers(1, 200_000), st.integers(1, 9_000)), min_size=1))
def test_a_mix_keeps_the_mean_and_stays_within_the_lengths(
    requests: list[tuple[float, float]],
) -> None:
    mix = mix_of(requests)
    assert sum(share.share for share in mix) == pytest.approx(1)
    lengths = [prompt + answer for prompt, answer in requests]
    mean = sum(share.tokens * share.share for share in mix)
    assert mean == pytest.approx(sum(lengths) / len(lengths), abs=2)
    assert all(min(lengths) - 1 <= share.tokens <= max(lengths) + 1 for share in mix)
    assert all(share.answer and 0 < share.answer < share.tokens for share in mix)
    assert len(mix) <= 4


def test_requests_without_an_answer_count_as_one_token() -> None:
    assert mix_of([(0, 10), (0, 10)]) == (Share(11, 1.0, 10),)
    assert mix_of([(10, 0)]) == (Share(11, 1.0, 1),)


def test_weights_count() -> None:
    found = weighted_mix([(8, 2, 3), (18, 2, 0), (28, 2, 1)])
    assert found == (Share(10, 0.75, 2), Share(30, 0.25, 2))
    with pytest.raises(ValueError, match="no lengths"):
        weighted_mix([])


def test_the_load_has_what_is_in_flight() -> None:
    seen = observation(requests_s=0.5)
    assert seen.load().concurrency == 12
    assert seen.output_tok_s == 256
    unknown = observation(running=None, waiting=None)
    assert (unknown.load().concurrency, unknown.output_tok_s) == (0, None)
