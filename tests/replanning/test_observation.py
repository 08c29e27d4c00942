from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.capacity.workload import Share
from gemma4ctl.replanning.observation import mix_of, weighted_mix

from .seen import observation


def test_equal_lengths_are_one_share() -> None:
    assert mix_of([1024] * 7) == (Share(1024, 1.0),)


def test_the_long_tail_is_kept_apart() -> None:
    mix = mix_of([1_000] * 90 + [30_000] * 9 + [100_000])
    assert [share.tokens for share in mix] == [1_000, 30_000, 100_000]
    assert [share.share for share in mix] == pytest.approx([0.9, 0.09, 0.01])


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=200))
def test_a_mix_keeps_the_mean_and_stays_within_the_lengths(lengths: list[int]) -> None:
    mix = mix_of(lengths)
    assert sum(share.share for share in mix) == pytest.approx(1)
    mean = sum(share.tokens * share.share for share in mix)
    assert mean == pytest.approx(sum(lengths) / len(lengths), abs=1)
    assert all(min(lengths) <= share.tokens <= max(lengths) for share in mix)
    assert len(mix) <= 4


def test_weights_count() -> None:
    assert weighted_mix([(10, 3), (20, 0), (30, 1)]) == (Share(10, 0.75), Share(30, 0.25))
    with pytest.raises(ValueError, match="no lengths"):
        weighted_mix([])


def test_the_load_has_what_is_in_flight() -> None:
    seen = observation(requests_s=0.5)
    assert seen.load().concurrency == 12
    assert seen.output_tok_s == 256
    unknown = observation(running=None, waiting=None)
    assert (unknown.load().concurrency, unknown.output_tok_s) == (0, None)
