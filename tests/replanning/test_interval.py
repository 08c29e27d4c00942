from __future__ import annotations

import pytest

from gemma4ctl.endpoint.metrics import Metrics
from gemma4ctl.endpoint.metrics import Sample as Value
from gemma4ctl.replanning.interval import Interval, Sample, between, step_s

RANKS = [{"tp_rank": "0"}, {"tp_rank": "1"}]


def sample(
    at: float,
    *,
    decoded: float = 0,
    steps: float = 0,
    prefilled: float = 0,
    reported: float = 0,
    accepted: float = 0,
) -> Sample:
    """Two ranks run every step; the first one counts tokens."""
    found = {
        "sglang:realtime_tokens_total": (
            Value({**RANKS[0], "mode": "decode"}, decoded),
            Value({**RANKS[0], "mode": "prefill_compute"}, prefilled / 2),
            Value({**RANKS[0], "mode": "prefill_cache"}, prefilled / 2),
        ),
        "sglang:cuda_graph_passes_total": (
            *(Value({**rank, "mode": "decode_cuda_graph"}, steps - 1) for rank in RANKS),
            *(Value({**rank, "mode": "decode_none"}, 1) for rank in RANKS),
            *(Value({**rank, "mode": "prefill_none"}, 1_000) for rank in RANKS),
        ),
        "sglang:gen_throughput": (Value(RANKS[0], reported),),
        "sglang:spec_accept_length": (Value(RANKS[0], accepted),),
    }
    return Sample(at, Metrics(found))


def test_what_happened_between() -> None:
    first = sample(1, decoded=100, steps=10, prefilled=4_000)
    found = between(first, sample(3, decoded=850, steps=60, prefilled=4_200, reported=7))
    assert found == Interval(2.0, 50.0, 750.0, 200.0, True)
    assert found.running == 15 and not found.settled
    assert between(first, sample(2, decoded=120, steps=11, prefilled=4_000, reported=7)).settled
    assert not between(first, sample(2, decoded=120, steps=11, prefilled=4_000)).settled


def test_a_request_gets_its_accepted_drafts_in_one_step() -> None:
    found = between(sample(0), sample(1, decoded=600, steps=20, accepted=3.0))
    assert (found.steps, found.running) == (60, 10)


def test_a_server_that_decodes_nothing_or_does_not_count() -> None:
    assert between(sample(0), sample(1, prefilled=4_000)).running is None
    nothing = Sample(0, Metrics({}))
    assert between(nothing, nothing) == Interval(0, 0, 0, 0, False)


def test_ranks_that_serve_on_their_own_run_together() -> None:
    def both(at: float, decoded: float, steps: float) -> Sample:
        return Sample(
            at,
            Metrics(
                {
                    name: tuple(
                        Value({"dp_rank": rank, "mode": mode}, value) for rank in ("0", "1")
                    )
                    for name, mode, value in (
                        ("sglang:realtime_tokens_total", "decode", decoded),
                        ("sglang:cuda_graph_passes_total", "decode_cuda_graph", steps),
                    )
                }
            ),
        )

    assert between(both(0, 0, 0), both(1, 500, 50)).running == 20


def test_a_rank_that_decodes_for_the_first_time() -> None:
    """Its counter is not there before; those of the others do not count twice for that."""

    def after(at: float, decoded: dict[str, float], steps: dict[str, float]) -> Sample:
        counted = {
            "sglang:realtime_tokens_total": ("decode", decoded),
            "sglang:cuda_graph_passes_total": ("decode_cuda_graph", steps),
        }
        return Sample(
            at,
            Metrics(
                {
                    name: tuple(
                        Value({"dp_rank": rank, "mode": mode}, value)
                        for rank, value in values.items()
                    )
                    for name, (mode, values) in counted.items()
                }
            ),
        )

    before = after(0, {"0": 10_000}, {"0": 1_000})
    found = between(before, after(1, {"0": 10_500, "1": 500}, {"0": 1_050, "1": 50}))
    assert (found.steps, found.running) == (50, 20)


def test_a_step_is_timed_where_no_prefill_may_be_under_way() -> None:
    decoding = Interval(1.0, 50, 500, 0, True)
    slowed = Interval(1.0, 30, 300, 0, True)  # a prefill ends in the next one
    prefill = Interval(1.0, 20, 200, 4_000, True)
    idle = Interval(1.0, 0, 0, 0, False)
    assert step_s([decoding, slowed, prefill, decoding, decoding]) == pytest.approx(0.02)
    assert step_s([slowed, prefill, idle, idle]) is None
