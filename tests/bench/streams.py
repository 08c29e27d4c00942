"""Streams of answers for tests: events as SGLang 0.5.16 sends them (constructed), and ways to
send them well and badly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.endpoint.server import Answers, Handler

DONE = b"data: [DONE]\n\n"
PROMPT_TOKENS = 9


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def generated(count: int, text: str | None = None) -> bytes:
    """The event of ``/generate`` after ``count`` tokens."""
    meta = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": count, "cached_tokens": 0}
    return event({"text": "wörd " * count if text is None else text, "meta_info": meta})


def answer(count: int) -> list[bytes]:
    """A whole answer of ``/generate``, a token an event."""
    return [*(generated(number) for number in range(1, count + 1)), DONE]


def asked(handler: Handler) -> Any:
    return json.loads(handler.received)


def tokens_asked(handler: Handler) -> int:
    """How many tokens a request to any of the three APIs wants."""
    sent = asked(handler)
    if "sampling_params" in sent:
        return int(sent["sampling_params"]["max_new_tokens"])
    return int(sent.get("max_tokens") or sent["max_completion_tokens"])


def begin(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()


def streaming(
    pieces: Callable[[Handler], Sequence[bytes]] | Sequence[bytes],
    *,
    pause_s: float = 0.0,
    sent_at: list[float] | None = None,
) -> Answers:
    """Sends ``pieces``, ``pause_s`` before each, and notes when, by ``time.perf_counter``."""

    def respond(handler: Handler) -> None:
        begin(handler)
        for piece in pieces(handler) if callable(pieces) else pieces:
            time.sleep(pause_s)
            if sent_at is not None:
                sent_at.append(time.perf_counter())
            handler.wfile.write(piece)
            handler.wfile.flush()

    return respond


def generating(handler: Handler) -> list[bytes]:
    """The answer of ``/generate`` to what was asked."""
    return answer(tokens_asked(handler))


def chatting(handler: Handler) -> Iterator[bytes]:
    """The answer of the chat API to what was asked, with its usage at the end alone."""
    count = tokens_asked(handler)
    yield event({"choices": [{"delta": {"role": "assistant", "content": ""}}], "usage": None})
    for _ in range(count):
        yield event({"choices": [{"delta": {"content": "wörd "}}], "usage": None})
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": count}
    yield event({"choices": [], "usage": usage})
    yield DONE


def breaking(handler: Handler) -> None:
    """Breaks the connection within a chunk of the body."""
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"400\r\n" + generated(1))
    handler.wfile.flush()


def hanging(seconds: float) -> Answers:
    """Sends one token, then nothing for ``seconds``."""

    def respond(handler: Handler) -> None:
        begin(handler)
        handler.wfile.write(generated(1))
        handler.wfile.flush()
        time.sleep(seconds)

    return respond
