"""The client against servers that behave well and badly: timing, failures, interruption."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from itertools import pairwise
from statistics import fmean
from typing import Any

import pytest

from gemma4ctl.bench import client
from gemma4ctl.bench.client import Ran, run
from gemma4ctl.bench.record import Record
from gemma4ctl.bench.workload import Prompt
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from tests.bench import streams
from tests.endpoint.server import Answers, Handler, fixed, serving
from tests.waiting import PATIENCE_S

PROMPT = Prompt(output_tokens=3, token_ids=(2, 7, 8))


def ask(answers: Answers, *prompts: Prompt, path: str = "/generate", **options: Any) -> Ran:
    given = {"concurrency": 4, "model": "m", **options}
    with serving({path: answers}) as url:
        return run(Endpoint(url, "key"), prompts or [PROMPT], **given)


def test_times_are_those_of_the_server() -> None:
    for _ in range(20):  # a busy machine has a quiet moment now and then
        sent_at, record = timed()
        sent = [at - sent_at[0] for at in sent_at[:-1]]
        came = [at - record.times[0] for at in record.times]
        wrong = [
            fmean(abs(a - b) for a, b in zip(sent, came, strict=True)),
            record.ttft - 0.06,
            abs(record.latency - record.ttft - (sent_at[-1] - sent_at[0])),
            abs(fmean(record.gaps()) - fmean(gaps(sent))),
        ]
        if max(wrong) < 0.01:
            break
    assert max(wrong) < 0.01, wrong


def timed() -> tuple[list[float], Record]:
    """Ten tokens, 20 ms apart, the first after 20 ms: by the server's clock, and by the client."""
    sent_at: list[float] = []
    prompt = Prompt(output_tokens=10, token_ids=(2,))
    ran = ask(streams.streaming(streams.answer(10), pause_s=0.02, sent_at=sent_at), prompt)
    (record,) = ran.records
    assert record.failure is None
    assert record.ttft >= 0.02
    assert ran.seconds == record.ended
    return sent_at, record


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def test_every_prompt_has_its_record_in_order() -> None:
    prompts = [Prompt(output_tokens=n, token_ids=(2, n)) for n in range(1, 31)]
    done: list[Record] = []
    ran = ask(streams.streaming(streams.generating), *prompts, on_done=done.append)
    assert [record.completion_tokens for record in ran.records] == list(range(1, 31))
    assert all(record.ok and record.prompt_tokens == 9 for record in ran.records)
    assert sorted(record.index for record in done) == [record.index for record in ran.records]
    assert not ran.interrupted


def test_no_more_at_a_time_than_asked() -> None:
    lock, state = threading.Lock(), {"open": 0, "most": 0}

    def counted(handler: Handler) -> None:
        with lock:
            state["open"] += 1
            state["most"] = max(state["most"], state["open"])
        time.sleep(0.02)
        with lock:
            state["open"] -= 1
        streams.streaming(streams.generating)(handler)

    ran = ask(counted, *[PROMPT] * 12, concurrency=3)
    assert all(record.ok for record in ran.records)
    assert state["most"] <= 3


def test_prompts_wait_for_their_arrival() -> None:
    arrivals = (0.0, 0.1, 0.2)
    prompts = [Prompt(output_tokens=1, token_ids=(2,), arrival_s=arrival) for arrival in arrivals]
    together = threading.Barrier(len(prompts), timeout=PATIENCE_S)

    def answer(handler: Handler) -> None:
        together.wait()  # none waits for the answer to another
        streams.streaming(streams.generating)(handler)

    ran = ask(answer, *prompts)
    assert all(record.ok for record in ran.records)
    assert all(r.started >= arrival for r, arrival in zip(ran.records, arrivals, strict=True))


def test_the_chat_api_and_what_goes_with_a_request() -> None:
    seen: list[Any] = []

    def respond(handler: Handler) -> None:
        seen.append((handler.headers["Authorization"], streams.asked(handler)["model"]))
        streams.streaming(lambda handler: list(streams.chatting(handler)))(handler)

    prompt = Prompt(output_tokens=3, text="look", images=("data:,",))
    ran = ask(respond, prompt, path="/v1/chat/completions", api="chat")
    (record,) = ran.records
    assert record.ok
    assert (record.prompt_tokens, record.completion_tokens, len(record.times)) == (9, 3, 3)
    assert seen == [("Bearer key", "m")]


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        (fixed(b"slow down", status=429), "http-429", "slow down"),
        (fixed(b"\xff", status=500), "http-500", "\ufffd"),
        (fixed(b"", status=503), "http-503", ""),
        (streams.streaming(streams.answer(3)[:-1]), "truncated", "ended after 3 tokens"),
        (streams.streaming([]), "truncated", "ended after 0 tokens"),
        (streams.streaming(streams.answer(2)), "short-output", "2 of 3 tokens"),
        (streams.streaming([b"data: {bad\n\n"]), "bad-stream", "{bad"),
        (streams.streaming([b'data: {"text": "\xff"}\n\n']), "bad-stream", "event"),
        (streams.streaming([streams.event({"error": "no memory"})]), "server-error", "no memory"),
        (streams.breaking, "disconnect", ""),
        (lambda handler: None, "disconnect", ""),
        (streams.hanging(PATIENCE_S), "timeout", "nothing came for 0.2 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_failures_have_names(answers: Answers, kind: str, message: str) -> None:
    (record,) = ask(answers, silence_s=0.2 if kind == "timeout" else PATIENCE_S).records
    assert record.failure is not None
    assert record.failure.kind == kind
    assert message in record.failure.message
    assert record.ended >= record.started


def test_the_key_goes_nowhere_else() -> None:
    seen: list[str] = []

    def elsewhere(handler: Handler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "/other")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    answers = {"/generate": elsewhere, "/other": lambda handler: seen.append(handler.path)}
    with serving(answers) as url:
        (record,) = run(Endpoint(url, "key"), [PROMPT], concurrency=1, model="m").records
    assert record.failure is not None
    assert (record.failure.kind, seen) == ("http-307", [])


def test_nobody_listens() -> None:
    with serving({}) as url:
        pass
    (record,) = run(Endpoint(url), [PROMPT], concurrency=1, model="m").records
    assert record.failure is not None
    assert record.failure.kind == "connect"


def test_failures_take_no_others_with_them() -> None:
    def respond(handler: Handler) -> None:
        if len(streams.asked(handler)["input_ids"]) == 1:
            handler.send_error(500)
        else:
            streams.streaming(streams.generating)(handler)

    bad = Prompt(output_tokens=3, token_ids=(2,))
    ran = ask(respond, *[PROMPT, bad] * 5)
    assert [record.ok for record in ran.records] == [True, False] * 5


def test_huge_chunks_and_comments() -> None:
    huge = streams.generated(2, "x" * (1 << 20))
    pieces = [b": alive\n\n" + streams.generated(1), huge[:500_000], huge[500_000:] + b"\n"]
    pieces += [streams.generated(3) + streams.DONE]
    (record,) = ask(streams.streaming(pieces)).records
    assert record.failure is None
    assert list(record.tokens) == [1, 1, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_and_keeps_what_is_known(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    done: list[Record] = []

    def stop(record: Record) -> None:
        done.append(record)
        if len(done) == 2:
            os.kill(os.getpid(), number)

    prompts = [PROMPT, PROMPT, *[Prompt(output_tokens=9, token_ids=(2,))] * 6]

    def respond(handler: Handler) -> None:
        if streams.tokens_asked(handler) == 3:
            streams.streaming(streams.generating)(handler)
        else:
            streams.hanging(PATIENCE_S)(handler)

    ran = ask(respond, *prompts, concurrency=4, on_done=stop)
    assert ran.interrupted
    assert [record.ok for record in ran.records] == [True] * 2 + [False] * 6
    kinds = {record.failure.kind for record in ran.records if record.failure is not None}
    assert kinds == {"cancelled"}
    assert ran.seconds < PATIENCE_S
    assert signal.getsignal(number) == before


def test_it_runs_in_other_threads_too() -> None:
    found: list[Ran] = []
    thread = threading.Thread(
        target=lambda: found.append(ask(streams.streaming(streams.generating)))
    )
    thread.start()
    thread.join()
    assert found[0].records[0].ok


def test_a_fault_of_the_caller_is_not_hidden() -> None:
    def fail(record: Record) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        ask(streams.streaming(streams.generating), on_done=fail)


def test_without_its_libraries_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(UsageError, match=r"gemma4ctl\[client\]"):
        client.run(Endpoint("http://127.0.0.1:1"), [PROMPT], concurrency=1, model="m")


def test_nothing_to_send() -> None:
    ran = run(Endpoint("http://127.0.0.1:1"), [], concurrency=4, model="m")
    assert ran == Ran([], 0.0)
