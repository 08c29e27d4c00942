"""One HTTP request with the standard library; what goes wrong is part of the answer.

A timeout covers the whole request. Redirects are not followed: the key goes to the named server
only. Proxies of the environment are used, except for this machine itself.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, Any

from gemma4ctl.endpoint.address import Endpoint

LARGEST_ANSWER = 64 << 20  # bytes
CUT = "the connection was closed before the end of the answer"
_PIECE = 64 << 10
_GRACE_S = 0.5  # for what noticed by itself that the time is up


@dataclass(frozen=True)
class Answer:
    """What came back. ``status`` is None when nothing did; ``problem`` says what went wrong.

    ``problem`` is None for a complete answer with a status of 200 to 299.
    """

    status: int | None
    body: bytes
    content_type: str
    problem: str | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the request was answered well and completely."""
        return self.problem is None

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none; :attr:`problem` tells of a failed request.
        """
        return json.loads(self.body)


def get(endpoint: Endpoint, path: str, timeout_s: float) -> Answer:
    """``GET`` a path such as ``/health``."""
    return _ask(urllib.request.Request(endpoint.url + path), endpoint, timeout_s)  # noqa: S310


def post(endpoint: Endpoint, path: str, document: Any, timeout_s: float) -> Answer:
    """``POST`` a JSON document to a path such as ``/v1/chat/completions``."""
    request = urllib.request.Request(  # noqa: S310 - the address is http or https
        endpoint.url + path,
        data=json.dumps(document).encode(),
        headers={"Content-Type": "application/json"},
    )
    return _ask(request, endpoint, timeout_s)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Takes a redirect as an answer."""

    def redirect_request(self, *_: Any) -> None:
        """None: do not go there."""


def _ask(request: urllib.request.Request, endpoint: Endpoint, timeout_s: float) -> Answer:
    """The answer in time, or that there is none.

    The standard library waits for each byte of a header anew, so that a server may keep it waiting
    forever: a thread asks, and is left to itself when the time is up.
    """
    answers: list[Answer] = []
    asking = threading.Thread(
        target=lambda: answers.append(_answer(request, endpoint, timeout_s)), daemon=True
    )
    asking.start()
    asking.join(timeout_s + _GRACE_S)
    late = Answer(None, b"", "", _reason(TimeoutError(), timeout_s), timeout_s)
    return answers[0] if answers else late


def _answer(request: urllib.request.Request, endpoint: Endpoint, timeout_s: float) -> Answer:
    """The answer, whose bytes may each take ``timeout_s``."""
    began = time.monotonic()
    handlers: list[urllib.request.BaseHandler] = [_Stay()]
    if endpoint.is_local:
        handlers.append(urllib.request.ProxyHandler({}))
    for name, value in endpoint.headers.items():
        request.add_header(name, value)
    status, content_type, body = None, "", bytearray()
    problem: str | None
    try:
        response = _open(urllib.request.build_opener(*handlers), request, timeout_s)
        with response:
            status, content_type = response.status, response.headers.get("Content-Type", "")
            problem = _read(response, body, began + timeout_s) or _cut(response, body)
        if status is not None and not 200 <= status < 300:
            problem = f"HTTP {status}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = _reason(error, timeout_s)
    return Answer(status, bytes(body), content_type, problem, time.monotonic() - began)


def _open(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout_s: float
) -> Any:
    """The response, also one that reports an error."""
    try:
        return opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        return error


def _read(response: IO[bytes], body: bytearray, deadline: float) -> str | None:
    """Read into ``body``; what went wrong, or None."""
    while piece := response.read1(_PIECE):  # type: ignore[attr-defined]
        body += piece
        if len(body) > LARGEST_ANSWER:
            return f"the answer is larger than {LARGEST_ANSWER >> 20} MiB"
        if time.monotonic() > deadline:
            raise TimeoutError
    return None


def _cut(response: Any, body: bytearray) -> str | None:
    """What is wrong when less came than the server announced."""
    announced = response.headers.get("Content-Length", "")
    return CUT if announced.isdigit() and len(body) < int(announced) else None


def _reason(error: Exception, timeout_s: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no complete answer within {timeout_s:g} s"
    if isinstance(cause, http.client.IncompleteRead):
        return CUT
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return text or type(cause).__name__
