"""The server itself: health, which model it serves, its metrics, its drafts."""

from __future__ import annotations

import re

from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.facts import Facts, read_facts
from gemma4ctl.endpoint.metrics import Metrics, MetricsError, read_metrics
from gemma4ctl.verify.faults import Fault, Skip, of_status
from gemma4ctl.verify.session import Done, Session, question

LARGEST_WAIT_S = 30.0  # /health of SGLang generates a token and waits up to 20 s for it
COUNTED_EVERY = 40  # decode steps: SGLang's --decode-log-interval
MOST_DRAFTED = 2048  # tokens
HARDLY_ACCEPTED = 1.05  # tokens per verification; 1 is what there is without drafts

# Metrics that SGLang has from its first request on.
EXPECTED = ("sglang:num_running_reqs", "sglang:prompt_tokens_total", "sglang:token_usage")


def health(session: Session) -> Done:
    """``GET /health`` answers 200."""
    limit_s = min(session.client.timeout_s, LARGEST_WAIT_S)
    answer = http.get(session.endpoint, "/health", limit_s)
    if answer.status == 404:
        raise Skip("the server has no /health, which is SGLang's own")
    if answer.problem:
        raise Fault(_code(answer.problem), f"/health: {answer.problem}")
    return Done("healthy")


def model(session: Session) -> Done:
    """The server lists the model asked for, and it is a Gemma 4."""
    facts, asked = session.facts, session.client.model
    for problem in facts.problems:
        path, _, said = problem.partition(": ")
        if path == "/v1/models":
            raise Fault(_code(said), problem)
    if asked not in facts.model_ids:
        listed = ", ".join(facts.model_ids) or "none"
        raise Fault("wrong-model", f"asked for {asked}, the server lists {listed}")
    expected = session.expected_variant
    if expected and facts.variant != expected:
        found = f"Gemma 4 {facts.variant}" if facts.variant else ", ".join(facts.model_ids)
        raise Fault("wrong-model", f"asked for Gemma 4 {expected}, the server has {found}")
    if facts.architecture and not facts.architecture.startswith("Gemma4"):
        raise Fault("wrong-model", f"the server has loaded a {facts.architecture}, no Gemma 4")
    known = [
        f"Gemma 4 {facts.variant}" if facts.variant else asked,
        f"SGLang {facts.release}" if facts.release else None,
        _context(facts),
        "random weights" if session.random_weights else None,
    ]
    figures = {"context_length": facts.context_length, "max_tokens": facts.max_tokens}
    return Done(", ".join(filter(None, known)), {k: v for k, v in figures.items() if v is not None})


def _context(facts: Facts) -> str | None:
    """The context length, and the pool where that is what ends a request earlier."""
    if facts.context_length is None:
        return None
    said = f"{facts.context_length:,} tokens of context"
    if facts.max_tokens is not None and facts.max_tokens < facts.context_length:
        said += f", of which the KV pool holds {facts.max_tokens:,}"
    return said


def _code(problem: str) -> str:
    """The fault that a problem of :mod:`gemma4ctl.endpoint` is."""
    if status := re.match(r"HTTP (\d+)", problem):
        return of_status(int(status[1]))
    if "within" in problem:
        return "no-answer"
    if "answer" in problem:  # it came, and is none of the API's
        return "disconnected" if problem == http.CUT else "bad-shape"
    return "unreachable"


def metrics(session: Session) -> Done:
    """``/metrics`` is in Prometheus' format and holds SGLang's basic metrics."""
    found = _metrics(session)
    missing = [name for name in EXPECTED if found.total(name) is None]
    if missing:
        raise Fault("bad-metrics", f"no {', '.join(missing)} among {len(found.samples)} metrics")
    running = found.total("sglang:num_running_reqs") or 0
    return Done(
        f"{len(found.samples)} metrics, {running:.0f} requests running",
        {"metrics": float(len(found.samples))},
    )


def _metrics(session: Session) -> Metrics:
    try:
        return read_metrics(session.endpoint, min(session.client.timeout_s, LARGEST_WAIT_S))
    except MetricsError as error:
        if error.code != "no-metrics":
            raise Fault("bad-metrics", f"{error.message}: {error.found}") from None
        if session.facts.argument("enable_metrics") is False:
            raise Skip("the server was started without --enable-metrics") from None
        raise Fault(
            "no-metrics", f"/metrics: {error.found}; SGLang has them with --enable-metrics"
        ) from None


def mtp(session: Session) -> Done:
    """The server tells how many tokens a verified draft gives, and it is more than one."""
    if not session.facts.drafts:
        raise Skip("the server drafts no tokens (MTP is off)")
    drafted = session.facts.argument("speculative_num_draft_tokens")
    _draft_some(session, drafted if isinstance(drafted, int) else 1)
    length = _accept_length(session)
    if length is None:
        raise Fault(
            "drafts-unmeasured", "neither /server_info nor /metrics has an acceptance length"
        )
    if length < 1 or (isinstance(drafted, int) and length > drafted + 1):
        raise Fault("drafts-unmeasured", f"an acceptance length of {length:.2f} cannot be")
    if session.random_weights:
        session.unjudged.append("acceptance")
    elif length < HARDLY_ACCEPTED:
        raise Fault(
            "drafts-refused",
            f"{length:.2f} tokens per verification: is the draft of the same checkpoint line?",
        )
    return Done(f"{length:.2f} tokens per verification", {"accept_length": length})


def _draft_some(session: Session, drafted: int) -> None:
    """Have so many tokens generated that SGLang, which counts now and then, has counted once."""
    told = session.facts.argument("decode_log_interval")
    interval = told if isinstance(told, int) else COUNTED_EVERY
    tokens = min(2 * interval * (drafted + 1), MOST_DRAFTED)
    text = "Write a long story about a lighthouse keeper."
    session.client.stream(question(text, tokens, ignore_eos=True))


def _accept_length(session: Session) -> float | None:
    """The acceptance length after the requests so far."""
    limit_s = min(session.client.timeout_s, LARGEST_WAIT_S)
    length = read_facts(session.endpoint, limit_s).accept_length
    if length is not None:
        return length
    try:
        return read_metrics(session.endpoint, limit_s).mean("sglang:spec_accept_length")
    except MetricsError:
        return None
