"""Ask with the official ``openai`` client, and keep every byte of the answer.

Works with the client's versions on httpx and on httpx2: only its public interface is used. Its
timeouts are for one read each, so that a server may keep it waiting with a byte now and then: a
thread asks, and its connection is closed when the time for the whole answer is up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, create_default_context
from threading import Thread
from typing import Any

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.extras import require
from gemma4ctl.verify import reply
from gemma4ctl.verify.exchange import Exchange
from gemma4ctl.verify.faults import Fault, of_status
from gemma4ctl.verify.reply import Reply

SILENCE = 0.5  # of the time for a request: so long may a stream say nothing
GRACE_S = 0.5  # for what notices by itself that the time is up, and why

_OURS = ("chat_template_kwargs", "ignore_eos")  # what the client's signature does not have


class Client:
    """Chat completions of ``model`` at ``endpoint``; ``timeout_s`` is for one request.

    Raises:
        UsageError: ``openai`` is not installed.
    """

    def __init__(self, endpoint: Endpoint, model: str, timeout_s: float) -> None:
        self.model = model
        self.timeout_s = timeout_s
        self._openai: Any = require("openai", "client", "gemma4ctl verify")
        self._server = {
            "base_url": endpoint.openai_url,
            "api_key": endpoint.api_key or "none",
            "max_retries": 0,
        }
        self._connection = _connection(endpoint)

    def chat(self, body: Mapping[str, Any], timeout_s: float | None = None) -> Reply:
        """Ask and wait for the whole answer.

        Args:
            body: what to send; the model and temperature 0 are added.
            timeout_s: for this request, instead of the client's.

        Raises:
            Fault: anything but a complete answer of the API's form.
        """
        exchange = Exchange(self._complete(body))

        def read(response: Any) -> None:
            _check_type(exchange, response, "application/json")
            response.parse()

        self._ask(exchange, read, timeout_s or self.timeout_s)
        return self._checked(reply.whole(exchange))

    def stream(self, body: Mapping[str, Any], timeout_s: float | None = None) -> Reply:
        """Ask and take the answer as it comes.

        Raises:
            Fault: as :meth:`chat`; also for a stream that begins late or falls silent.
        """
        options = {"stream": True, "stream_options": {"include_usage": True}}
        exchange = Exchange(self._complete(body) | options)
        first_s = None

        def read(response: Any) -> None:
            nonlocal first_s
            _check_type(exchange, response, "text/event-stream")
            for chunk in response.parse():
                if _has_token(chunk):
                    first_s = first_s or exchange.seconds
                    exchange.tokens += 1

        self._ask(exchange, read, timeout_s or self.timeout_s, SILENCE)
        return self._checked(reply.streamed(exchange, first_s))

    def _complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"model": self.model, "temperature": 0, **body}

    def _checked(self, answered: Reply) -> Reply:
        if answered.model != self.model:
            raise answered.exchange.fault(
                "wrong-model", f"asked for {self.model}, answered by {answered.model}"
            )
        return answered

    def _ask(
        self, exchange: Exchange, read: Callable[[Any], None], limit_s: float, silence: float = 1.0
    ) -> None:
        """Send the request of ``exchange`` and let ``read`` take the response.

        Args:
            limit_s: for the whole answer.
            silence: the share of it that the server may say nothing.
        """

        def watch(response: Any) -> None:
            exchange.has_headers = True
            pieces = response.iter_bytes
            response.iter_bytes = lambda *_: exchange.record(pieces(), limit_s)

        hooks = {"response": [watch]}
        http = self._openai.DefaultHttpxClient(**self._connection, event_hooks=hooks)
        silence_s = limit_s * silence
        client = self._openai.OpenAI(**self._server, http_client=http, timeout=silence_s)
        exchange.began = time.monotonic()
        try:
            asked = _begin(lambda: self._answer(exchange, client, read, silence_s))
            if not wait([asked], limit_s + GRACE_S).done:
                raise exchange.late(limit_s)
            asked.result()
        finally:
            http.close()

    def _answer(
        self, exchange: Exchange, client: Any, read: Callable[[Any], None], silence_s: float
    ) -> None:
        """Send, and let ``read`` take the response; the client's errors become faults."""
        known = {k: v for k, v in exchange.body.items() if k not in _OURS}
        extra = {k: v for k, v in exchange.body.items() if k in _OURS}
        openai = self._openai
        create = client.chat.completions.with_streaming_response.create
        try:
            with create(**known, extra_body=extra or None) as response:
                read(response)
        except openai.APIStatusError as error:
            raise _refused(exchange, error) from None
        except (openai.APIError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise _failed(exchange, error, silence_s) from None
        except Exception as error:  # older clients let errors of their HTTP library through
            if not type(error).__module__.startswith("httpx"):
                raise
            raise _failed(exchange, error, silence_s) from None


def _begin(work: Callable[[], None]) -> Future[None]:
    """Do ``work`` in a thread that nobody has to wait for."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    Thread(target=run, daemon=True).start()
    return done


def _connection(endpoint: Endpoint) -> dict[str, Any]:
    """Options of the HTTP client: no redirects with the key, no proxy to this machine.

    Certificates are trusted as everywhere else in Python: the system's, or ``SSL_CERT_FILE``.
    """
    encrypted = endpoint.url.startswith("https:")
    return {
        "follow_redirects": False,
        "trust_env": not endpoint.is_local,
        # without TLS one that trusts nobody, since it is made at once
        "verify": create_default_context() if encrypted else SSLContext(PROTOCOL_TLS_CLIENT),
    }


def _check_type(exchange: Exchange, response: Any, wanted: str) -> None:
    found = str(response.headers.get("content-type", ""))
    if found.partition(";")[0].strip().lower() != wanted:
        raise exchange.fault("bad-content-type", f"content type {found!r} instead of {wanted}")


def _has_token(chunk: Any) -> bool:
    """Whether an event carries a part of the answer."""
    if not getattr(chunk, "choices", None):
        return False
    delta = chunk.choices[0].delta
    return any(
        getattr(delta, name, None) for name in ("content", "reasoning_content", "tool_calls")
    )


def _refused(exchange: Exchange, error: Any) -> Fault:
    status = int(error.status_code)
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    said = f": {' '.join(str(message).split())[:300]}" if message else ""
    return exchange.fault(of_status(status), f"HTTP {status}{said}")


def _failed(exchange: Exchange, error: Exception, silence_s: float) -> Fault:
    """What a failure on the way, or of the client to read the answer, shows."""
    kind = type(error).__name__
    if "Timeout" in kind:
        return _late(exchange, silence_s)
    if kind != "APIConnectionError" and not type(error).__module__.startswith("httpx"):
        return _unreadable(exchange, error)
    if exchange.raw:
        return exchange.fault(
            "disconnected", f"the connection was closed after {len(exchange.raw):,} bytes"
        )
    cause = error.__cause__ or error
    return exchange.fault("unreachable", f"no answer: {cause or type(cause).__name__}")


def _late(exchange: Exchange, silence_s: float) -> Fault:
    """Which kind of silence it was."""
    if exchange.tokens:
        return exchange.fault(
            "stalled", f"silent for {silence_s:g} s after {exchange.tokens} events"
        )
    if exchange.body.get("stream"):
        return exchange.fault("slow-first-token", f"no token within {silence_s:g} s")
    return exchange.fault("no-answer", f"no answer within {silence_s:g} s")


def _unreadable(exchange: Exchange, error: Exception) -> Fault:
    """The client could not read an answer: our own reading says why."""
    try:
        if exchange.body.get("stream"):
            reply.streamed(exchange, None)
        else:
            reply.whole(exchange)
    except Fault as fault:
        return fault
    return exchange.fault("bad-shape", f"the official client cannot read it: {error}")
