"""Long prompts: up to the limit, beyond it, and twice the same."""

from __future__ import annotations

from gemma4ctl.endpoint.metrics import MetricsError, read_metrics
from gemma4ctl.verify.faults import Fault, Skip
from gemma4ctl.verify.reply import Reply
from gemma4ctl.verify.session import Done, Session, question

WORD = " and"  # one token of Gemma's vocabulary
OUTPUT = 8  # tokens
SPARE = 64  # tokens left below the limit: the count of a prompt is not known beforehand
PREFILL_TOKENS_S = 2000  # a server this slow still gets a whole context done in time
CACHED_WORDS = 2000
LEAST_CACHED = 0.5  # of the prompt; pages and the sliding window take some


def context(session: Session) -> Done:
    """A prompt just below the context length is answered whole, one above it is refused."""
    limit = _limit(session)
    small, large = (_ask(session, words).usage.prompt for words in (100, 1100))
    per_word = (large - small) / 1000
    if per_word <= 0:
        raise Fault("wrong-usage", f"100 words are {small} prompt tokens, 1,100 are {large}")
    fixed = small - 100 * per_word
    words = int((limit - OUTPUT - SPARE - fixed) / per_word)
    reply = _near(session, words, limit)
    _beyond(session, int(limit / per_word) + SPARE, limit)
    return Done(
        f"{reply.usage.prompt:,} of {limit:,} tokens in {reply.seconds:.1f} s; more are refused",
        {"prompt_tokens": float(reply.usage.prompt), "seconds": reply.seconds},
    )


def _limit(session: Session) -> int:
    """The longest request in tokens, as the server tells it."""
    facts = session.facts
    if facts.context_length is None:
        raise Skip("the server does not tell its context length")
    told = (facts.context_length, facts.max_tokens, facts.argument("max_req_input_len"))
    return min(limit for limit in told if limit)


def _ask(session: Session, words: int) -> Reply:
    body = question(WORD * words + "\nHow long is this text?", OUTPUT)
    seconds = session.client.timeout_s + words / PREFILL_TOKENS_S
    return session.client.chat(body, timeout_s=seconds)


def _near(session: Session, words: int, limit: int) -> Reply:
    try:
        reply = _ask(session, words)
    except Fault as fault:
        if fault.code == "request-refused":
            raise Fault(
                "context-short",
                f"about {limit - SPARE:,} of {limit:,} tokens: {fault.message}",
                fault.body,
            ) from None
        raise
    if reply.usage.prompt < limit - 4 * SPARE - words // 100:
        raise reply.exchange.fault(
            "context-short", f"a prompt of about {limit:,} tokens counts {reply.usage.prompt:,}"
        )
    return reply


def _beyond(session: Session, words: int, limit: int) -> None:
    if session.facts.argument("allow_auto_truncate"):
        return
    try:
        reply = _ask(session, words)
    except Fault as fault:
        if fault.code == "request-refused":
            return
        raise
    raise reply.exchange.fault(
        "context-unchecked",
        f"a prompt beyond {limit:,} tokens was answered, with {reply.usage.prompt:,} counted",
    )


def prefix_cache(session: Session) -> Done:
    """The second of two equal prompts comes from the cache for the most part."""
    if session.facts.argument("disable_radix_cache"):
        raise Skip("the server was started with --disable-radix-cache")
    body = question("Remember:" + WORD * CACHED_WORDS + "\nSay yes.", OUTPUT)
    session.client.chat(body)
    before = _cached_total(session)
    reply = session.client.chat(body)
    cached = reply.usage.cached
    if cached is None and before is not None:
        cached = round((_cached_total(session) or before) - before)
    if cached is None and not session.facts.argument("enable_cache_report"):
        raise Skip("cached tokens are told with --enable-cache-report or --enable-metrics")
    share = (cached or 0) / reply.usage.prompt
    if share < LEAST_CACHED:
        raise reply.exchange.fault(
            "cache-missed", f"{cached or 0:,} of {reply.usage.prompt:,} tokens from the cache"
        )
    return Done(
        f"{cached:,} of {reply.usage.prompt:,} tokens from the cache", {"cached_share": share}
    )


def _cached_total(session: Session) -> float | None:
    """Prompt tokens from the cache since the start; 0 before the first, None without metrics."""
    try:
        metrics = read_metrics(session.endpoint, session.client.timeout_s)
    except MetricsError:
        return None
    return metrics.total("sglang:cached_tokens_total") or 0.0
