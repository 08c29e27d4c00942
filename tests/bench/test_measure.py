"""One measurement: warm-up, an empty cache, the run."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from gemma4ctl.bench import measure
from gemma4ctl.bench.measure import Measured, choose_api, flush_cache
from gemma4ctl.bench.workload import Workload
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.errors import ProblemsFoundError
from tests.bench import streams
from tests.endpoint.server import Answers, Handler, fixed, serving

LOAD = Workload(
    name="own", input_tokens=5, output_tokens=50, range_ratio=1.0, requests=3, concurrency=2
)


def run(answers: dict[str, Answers], **options: Any) -> Measured:
    with serving(answers) as url:
        return measure.measure(Endpoint(url), LOAD, model="m", api="generate", **options)


def test_warm_up_then_flush_then_the_run() -> None:
    order: list[Any] = []

    def generate(handler: Handler) -> None:
        order.append((streams.tokens_asked(handler), tuple(streams.asked(handler)["input_ids"])))
        streams.streaming(streams.generating)(handler)

    def flush(handler: Handler) -> None:
        order.append("flush")
        handler.give(b"Cache flushed.", kind="text/plain")

    found = run({"/generate": generate, "/flush_cache": flush}, warmup=2)
    assert [entry if entry == "flush" else entry[0] for entry in order] == [
        *[32, 32],
        "flush",
        *[50, 50, 50],
    ]
    prompts = [entry[1] for entry in order if entry != "flush"]
    assert len(set(prompts)) == 5
    assert (found.flushed, found.interrupted, found.workload) == (True, False, LOAD)
    assert (found.summary.completed, found.summary.output_tokens) == (3, 150)
    assert len(found.records) == 3
    assert found.started.endswith("+00:00")


def test_without_warm_up_and_flush() -> None:
    found = run({"/generate": streams.streaming(streams.generating)}, warmup=0, flush=False)
    assert (found.flushed, found.summary.completed) == (False, 3)


def test_no_warm_up_request_is_answered() -> None:
    with pytest.raises(ProblemsFoundError, match="before the measurement") as failed:
        run({"/generate": fixed(b"loading", status=503)})
    assert "http-503: loading" in str(failed.value)


def test_a_part_of_the_warm_up_is_enough() -> None:
    answered: list[int] = []

    def sometimes(handler: Handler) -> None:
        answered.append(1)
        if len(answered) == 1:
            handler.send_error(500)
        else:
            streams.streaming(streams.generating)(handler)

    assert run({"/generate": sometimes}, warmup=2).summary.completed == 3


def test_an_interrupted_warm_up() -> None:
    def interrupt(handler: Handler) -> None:
        signal.raise_signal(signal.SIGINT)
        streams.hanging(0.3)(handler)

    with pytest.raises(KeyboardInterrupt):
        run({"/generate": interrupt})


def test_flushing_waits_for_the_last_requests() -> None:
    answers = [400, 400, 200]

    def flush(handler: Handler) -> None:
        handler.give(b"", status=answers.pop(0))

    with serving({"/flush_cache": flush}) as url:
        assert flush_cache(Endpoint(url))
    assert answers == []


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_cache_that_cannot_be_flushed(status: int) -> None:
    with serving({"/flush_cache": fixed(b"", status=status)}) as url:
        assert not flush_cache(Endpoint(url), patience_s=0.1)


def test_which_api() -> None:
    images = LOAD.model_copy(update={"images": 1})
    assert choose_api(Facts(release="0.5.16"), LOAD) == "generate"
    assert choose_api(Facts(), LOAD) == "completions"
    assert choose_api(Facts(release="0.5.16"), images) == "chat"
