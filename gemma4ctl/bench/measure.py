"""One measurement: warm the server up, empty its prefix cache, ask, and sum up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from gemma4ctl.bench.client import SILENCE_S, run
from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.record import Record
from gemma4ctl.bench.summary import Summary, summarize
from gemma4ctl.bench.workload import Workload, prompts
from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.errors import ProblemsFoundError

WARMUP_TURN = -1  # contents that no measured turn has
WARMUP_TOKENS = 32
FLUSH_S = 10.0  # for the last requests to leave the server


@dataclass(frozen=True)
class Measured:
    """What one run gave. ``started`` is UTC, ISO 8601; ``flushed``: the prefix cache was empty."""

    workload: Workload
    started: str
    summary: Summary
    records: Sequence[Record]
    flushed: bool
    interrupted: bool


def choose_api(facts: Facts, workload: Workload) -> Api:
    """Images need the chat API; text goes through SGLang's own, where there is one."""
    if workload.images:
        return "chat"
    return "generate" if facts.release is not None else "completions"


def measure(
    endpoint: Endpoint,
    workload: Workload,
    *,
    model: str,
    api: Api,
    warmup: int = 1,
    turn: int = 0,
    flush: bool = True,
    silence_s: float = SILENCE_S,
    on_done: Callable[[Record], None] | None = None,
) -> Measured:
    """Run ``workload`` once.

    Args:
        model: the name that OpenAI requests give.
        api: see :func:`choose_api`.
        warmup: requests that are sent before, all at once, with short answers.
        turn: which contents to send; repeated runs take a new one each.
        flush: empty the prefix cache before (SGLang only; elsewhere nothing happens).
        silence_s: seconds without a byte after which a request has failed.
        on_done: called with each record when its request has ended.

    Raises:
        ProblemsFoundError: no warm-up request was answered.
        UsageError: aiohttp is not installed.
    """
    asked = list(prompts(workload, turn))
    if warmup:
        warm_up(endpoint, workload, model=model, api=api, count=warmup)
    flushed = flush and flush_cache(endpoint)
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    ran = run(
        endpoint,
        asked,
        concurrency=workload.concurrency,
        model=model,
        api=api,
        silence_s=silence_s,
        on_done=on_done,
    )
    return Measured(
        workload=workload,
        started=started,
        summary=summarize(ran.records, ran.seconds),
        records=ran.records,
        flushed=flushed,
        interrupted=ran.interrupted,
    )


def warm_up(endpoint: Endpoint, workload: Workload, *, model: str, api: Api, count: int) -> None:
    """Send ``count`` requests of ``workload`` at once, with answers of at most 32 tokens.

    Raises:
        ProblemsFoundError: none was answered.
        KeyboardInterrupt: it was interrupted.
    """
    few = workload.model_copy(update={"requests": count})
    asked = [
        replace(prompt, output_tokens=min(prompt.output_tokens, WARMUP_TOKENS))
        for prompt in prompts(few, WARMUP_TURN)
    ]
    ran = run(endpoint, asked, concurrency=count, model=model, api=api)
    if ran.interrupted:
        raise KeyboardInterrupt
    failures = [record.failure for record in ran.records if record.failure is not None]
    if len(failures) == count:
        raise ProblemsFoundError(
            f"no request to {endpoint.url} was answered before the measurement",
            needed="an endpoint that serves Gemma 4",
            found=f"{failures[0].kind}: {failures[0].message}",
            remedies=[f"gemma4ctl verify --url {endpoint.url}"],
            code="bench-warm-up",
        )


def flush_cache(endpoint: Endpoint, patience_s: float = FLUSH_S) -> bool:
    """Empty the server's prefix cache; whether it did.

    SGLang refuses while requests run, and the last ones need a moment to leave.
    """
    deadline = time.monotonic() + patience_s
    while True:
        answer = http.post(endpoint, "/flush_cache", {}, patience_s)
        if answer.ok or answer.status != 400 or time.monotonic() > deadline:
            return answer.ok
        time.sleep(0.2)
