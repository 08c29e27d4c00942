from __future__ import annotations

from dataclasses import replace

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.metrics import Metrics, MetricsError, parse
from gemma4ctl.endpoint.metrics import Sample as Value
from gemma4ctl.errors import UsageError
from gemma4ctl.replanning.interval import Sample
from gemma4ctl.replanning.live import RESTARTED, SHORT, observe, watch
from tests.endpoint.server import Handler, fixed, serving
from tests.verify.replay import VARIANTS, recordings

from . import recorded
from .seen import exposition

EARLY = exposition(requests=10, prompts=(5, 8, 8, 10, 10), steps=(0, 0, 0, 0), decoded=1000)
LATE = exposition(
    requests=20,
    prompts=(5, 8, 8, 20, 20),
    steps=(100, 900, 1000, 1000),
    decoded=4000,
    running=4,
    waiting=8,
    full=0.33,
    sliding=1.0,
    retracted=2,
)


def samples(*texts: str, apart: float = 30.0) -> list[Sample]:
    return [Sample(place * apart, parse(text)) for place, text in enumerate(texts)]


def test_two_samples() -> None:
    seen = observe(samples(EARLY, LATE), "here")
    assert (seen.running, seen.waiting) == (2.0, 9.0)
    assert (seen.full_usage, seen.sliding_usage) == pytest.approx((0.32, 0.98))
    assert (seen.full_tokens, seen.sliding_tokens) == (100_000, 80_000)
    assert (seen.requests, seen.retracted, seen.seconds) == (10, 2, 30.0)
    assert (seen.input_tokens, seen.output_tokens) == (32_000, 500)
    assert seen.requests_s == pytest.approx(3000 / 30 / 500)  # from the decoded tokens
    assert seen.step_s == pytest.approx(0.0225)  # half of the way through its bucket
    assert [share.tokens for share in seen.mix] == [32_500]  # all that came meanwhile are long
    assert seen.notes == ()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_page_of_a_real_server(variant: str) -> None:
    seen = observe(samples(recordings(variant)["metrics"].body), "here")
    assert (seen.full_tokens, seen.sliding_tokens) == (32_768, 26_214)  # as in its log
    assert (seen.requests, seen.input_tokens, seen.output_tokens) == (1, 267, 8)  # its warm-up
    assert (seen.running, seen.waiting, seen.retracted) == (0, 0, 0)
    assert (seen.full_usage, seen.sliding_usage) == (0, 0)
    assert len(seen.mix) == 1


def test_while_requests_wait_the_samples_during_prefill_do_not_count() -> None:
    texts = [
        exposition(
            requests=20 + place,
            prompts=(0, 0, 0, 20, 20),
            steps=(0, 0, 1, 1),
            decoded=1,
            running=running,
            waiting=10,
        )
        for place, running in enumerate((8, 8, 3, 8, 8, 2, 8, 8, 1, 8))
    ]
    seen = observe(samples(*texts), "here")
    assert seen.running == 8
    assert seen.in_flight == pytest.approx(10 + 6.2)


IN_WAVES = pytest.mark.parametrize("first", [18, 48, 55, 65, 75, 85])  # seconds


@IN_WAVES
def test_a_real_server_whose_requests_come_in_waves(first: int) -> None:
    """By its log 66 to 78 ran at once, of 128 in flight; its gauges say 132 and 61 waiting.

    While prefill batches follow each other, they count requests that have ended.
    """
    seen = observe(recorded.samples(first, first + 30), "here")
    assert seen.running is not None and 66 <= seen.running <= 78
    assert seen.in_flight == pytest.approx(128, rel=0.03)


@IN_WAVES
def test_what_a_wave_shows_first_does_not_count(first: int) -> None:
    """It prefills at 16,400 tokens a second, and 1.45 requests a second end, in the long run."""
    seen = observe(recorded.samples(first, first + 30), "here")
    assert seen.step_s == pytest.approx(0.0188, rel=0.08)
    whole = observe(recorded.samples(first, first + 60), "here")
    assert whole.prefill_s == pytest.approx(4_000 / 16_400, rel=0.15)


@pytest.mark.parametrize("first", [34, 49])
def test_a_short_look_says_so(first: int) -> None:
    """Decode steps without a prefill, and prefill batches without a decode step."""
    seen = observe(recorded.samples(first, first + 12), "here")
    assert seen.prefill_s is None and SHORT in seen.notes
    assert SHORT not in observe(recorded.samples(first, first + 40), "here").notes


def test_a_server_that_was_started_anew_meanwhile() -> None:
    """Its counters fall; what was before is another server's."""
    again = [Sample(each.at + 200, each.metrics) for each in recorded.samples(1, 40)]
    seen = observe([*recorded.samples(60, 80), *again], "here")
    assert replace(seen, notes=()) == replace(observe(again, "here"), notes=())
    assert seen.notes[0] == RESTARTED
    assert RESTARTED not in observe(again, "here").notes


def test_where_nothing_waits_the_time_beside_decode_steps_is_no_prefill() -> None:
    assert observe(samples(EARLY, LATE), "here").prefill_s is not None
    calm = [text.replace("num_queue_reqs{", "was{") for text in (EARLY, LATE)]
    assert observe(samples(*calm), "here").prefill_s is None


def test_data_parallel_servers_are_counted_together() -> None:
    """What a server says by priority as well is a part of its total."""

    def of_two(sample: Sample) -> Sample:
        name, found = "sglang:num_queue_reqs", sample.metrics.samples
        (one,) = found[name]
        both = [
            Value({**one.labels, "dp_rank": rank, "priority": priority}, one.value)
            for rank in ("0", "1")
            for priority in ("", "7")
        ]
        return Sample(sample.at, Metrics({**found, name: tuple(both)}))

    one = samples(EARLY, LATE)
    assert observe(one, "here").waiting == 9
    assert observe([of_two(each) for each in one], "here").waiting == 18


def test_one_sample_tells_of_the_time_since_the_start() -> None:
    seen = observe(samples(LATE), "file")
    assert (seen.requests, seen.seconds) == (20, None)
    assert seen.requests_s == pytest.approx(60 / 500)  # the server's own figure
    mix = seen.mix
    assert len(mix) == 2 and mix[0].share == pytest.approx(0.4)
    mean = sum(share.tokens * share.share for share in mix)
    assert mean == pytest.approx(32_500, abs=1)  # the buckets are scaled to the counted mean
    assert "since the server started" in seen.notes[0]


def test_too_few_requests_while_watching() -> None:
    seen = observe(samples(LATE, LATE), "here")
    assert seen.requests == 20 and seen.notes
    assert seen.requests_s == 0 or seen.requests_s is None


def test_without_a_histogram_of_lengths_the_mean_stands_for_all() -> None:
    text = "\n".join(line for line in LATE.splitlines() if "prompt_tokens_histogram" not in line)
    (share,) = observe(samples(text + "\n"), "file").mix
    assert share == (32_500, 1.0, 500)


def test_no_steps_no_step() -> None:
    assert observe(samples(EARLY), "file").step_s is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("up 1\n", "no metrics of SGLang"),
        (exposition(requests=0, prompts=(0,) * 5, steps=(0,) * 4, decoded=0), "no request"),
    ],
)
def test_nothing_to_see(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        observe(samples(text), "file")


def test_a_running_server_is_sampled() -> None:
    texts = iter([EARLY, LATE])

    def answer(handler: Handler) -> None:
        handler.give(next(texts, LATE).encode(), kind="text/plain")

    with serving({"/metrics": answer}) as url:
        found = watch(Endpoint(url), 0.01, sleep=lambda _: None)
    assert len(found) >= 2
    assert replace(observe(found, "x"), seconds=None).requests == 10


def test_a_server_without_metrics() -> None:
    with serving({"/health": fixed(b"")}) as url, pytest.raises(MetricsError):
        watch(Endpoint(url), 0.01)
