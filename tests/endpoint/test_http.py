"""One request over real sockets: answers, and everything that is none."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress

import pytest

from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint
from tests.endpoint.server import Handler, fixed, serving
from tests.waiting import PATIENCE_S


def test_a_good_answer() -> None:
    with serving({"/model_info": fixed(b'{"a": 1}')}) as url:
        answer = http.get(Endpoint(url), "/model_info", PATIENCE_S)
    assert answer.ok
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.json() == {"a": 1}
    assert 0 < answer.seconds < PATIENCE_S


def test_post_sends_json_with_the_key() -> None:
    seen = {}

    def answer(handler: Handler) -> None:
        seen.update(handler.headers.items(), body=json.loads(handler.received))
        handler.give(b"{}")

    with serving({"/v1/x": answer}) as url:
        assert http.post(Endpoint(url, "secret"), "/v1/x", {"b": [2]}, PATIENCE_S).ok
    assert seen["body"] == {"b": [2]}
    assert seen["Authorization"] == "Bearer secret"
    assert seen["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_an_error_keeps_its_body(status: int) -> None:
    with serving({"/x": fixed(b"why", status=status)}) as url:
        answer = http.get(Endpoint(url), "/x", PATIENCE_S)
    assert (answer.status, answer.body, answer.problem) == (status, b"why", f"HTTP {status}")


def test_a_redirect_is_not_followed() -> None:
    followed = []

    def redirect(handler: Handler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "/there")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def there(handler: Handler) -> None:
        followed.append(handler.path)
        handler.give(b"")

    with serving({"/here": redirect, "/there": there}) as url:
        assert http.get(Endpoint(url, "secret"), "/here", PATIENCE_S).problem == "HTTP 307"
    assert not followed


def test_nobody_there_is_said(port: int) -> None:
    answer = http.get(Endpoint(f"http://127.0.0.1:{port}"), "/x", PATIENCE_S)
    assert answer.status is None
    assert answer.problem == "Connection refused"


def test_a_silent_server_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        answer = http.get(Endpoint(url), "/x", 0.1)
    assert answer.problem == "no complete answer within 0.1 s"


def test_a_slow_answer_is_left_though_every_byte_comes_soon() -> None:
    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(b".")
                time.sleep(0.02)

    with serving({"/x": drip}) as url:
        answer = http.get(Endpoint(url), "/x", 0.1)
    assert answer.problem == "no complete answer within 0.1 s"
    assert answer.seconds < PATIENCE_S


@pytest.mark.parametrize("header", [b"X-A: b\r\n", b"b"], ids=["headers", "one-header"])
def test_a_server_whose_headers_never_end_is_left(header: bytes) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        with suppress(OSError):
            while True:
                handler.wfile.write(header)
                time.sleep(0.02)

    with serving({"/x": answer}) as url:
        found = http.get(Endpoint(url), "/x", 0.1)
    assert found.problem == "no complete answer within 0.1 s"


def test_a_broken_answer_is_not_ok() -> None:
    def cut(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"short")

    def nothing(handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    def piece(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"5\r\nshort\r\n")

    with serving({"/cut": cut, "/nothing": nothing, "/piece": piece}) as url:
        chunked = http.get(Endpoint(url), "/piece", PATIENCE_S)
        cut_short = http.get(Endpoint(url), "/cut", PATIENCE_S)
        closed = http.get(Endpoint(url), "/nothing", PATIENCE_S)
    assert cut_short.problem == "the connection was closed before the end of the answer"
    assert chunked.problem == "the connection was closed before the end of the answer"
    assert closed.status is None
    assert closed.problem == "Remote end closed connection without response"


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 1 << 20)
    with serving({"/x": fixed(b"x" * (2 << 20))}) as url:
        answer = http.get(Endpoint(url), "/x", PATIENCE_S)
    assert answer.problem == "the answer is larger than 1 MiB"


def test_proxies_are_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    with serving({"/x": fixed(b"")}) as url:
        assert http.get(Endpoint(url), "/x", PATIENCE_S).ok
    away = http.get(Endpoint("http://192.0.2.1:1"), "/x", PATIENCE_S)
    assert away.problem == "Connection refused"  # the proxy's: nothing listens there
