"""How the official client is connected."""

from __future__ import annotations

import socket
from ssl import PROTOCOL_TLS_CLIENT, SSLContext

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.verify import client
from gemma4ctl.verify.checks.chat import CAPITAL
from gemma4ctl.verify.client import Client
from gemma4ctl.verify.exchange import LARGEST_EVENT, Exchange
from gemma4ctl.verify.faults import Fault
from tests.verify.server import ENDLESS, MODEL, Sglang, serving
from tests.waiting import PATIENCE_S


def test_proxies_are_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    with serving(Sglang()) as url:
        assert Client(Endpoint(url), MODEL, PATIENCE_S).chat(CAPITAL).content == "Paris"
    with pytest.raises(Fault) as raised:
        Client(Endpoint("http://192.0.2.1:1"), MODEL, PATIENCE_S).chat(CAPITAL)
    assert raised.value.code == "unreachable"  # the proxy: nothing listens there
    assert "refused" in raised.value.message


def test_an_https_endpoint_is_not_asked_in_the_clear() -> None:
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        asking = Client(Endpoint(url, "s3cret"), MODEL, 0.3)
        with pytest.raises(Fault):
            asking.chat(CAPITAL)
        connection, _ = server.accept()
        received.append(connection.recv(10_000))
        connection.close()
    assert b"s3cret" not in received[0] and b"POST" not in received[0]


def test_certificates_are_checked_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SSLContext(PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(client, "create_default_context", lambda: made)  # reads SSL_CERT_FILE
    for url in ("https://127.0.0.1:1", "https://gpu.example"):
        assert client._connection(Endpoint(url))["verify"] is made


def test_the_model_and_temperature_0_are_added() -> None:
    sglang = Sglang(key="k-1")
    with serving(sglang) as url:
        Client(Endpoint(url, "k-1"), MODEL, PATIENCE_S).stream(CAPITAL)
    (request,) = sglang.requests
    assert request == {
        **CAPITAL,
        "model": MODEL,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_request_may_have_a_limit_of_its_own() -> None:
    with serving(Sglang(frozenset({"hangs"}))) as url:
        asking = Client(Endpoint(url), MODEL, PATIENCE_S)
        with pytest.raises(Fault, match=r"no answer within 0\.1 s"):
            asking.chat(CAPITAL, timeout_s=0.1)


@pytest.mark.parametrize("misbehaviour", ENDLESS)
def test_whatever_has_no_end_is_hung_up_on(misbehaviour: str) -> None:
    sglang = Sglang(frozenset({misbehaviour}))
    with serving(sglang) as url:
        with pytest.raises(Fault):
            Client(Endpoint(url), MODEL, PATIENCE_S).chat(CAPITAL, timeout_s=0.2)
        assert sglang.left_alone.wait(PATIENCE_S)


def test_the_largest_event_counts_only_without_a_line_end() -> None:
    lines = [b"x" * (LARGEST_EVENT // 2) + b"\n"] * 5
    assert list(Exchange({}).record(lines, 60)) == lines
    with pytest.raises(Fault, match="and no end of it"):
        list(Exchange({}).record([b"x" * (LARGEST_EVENT // 2)] * 3, 60))
