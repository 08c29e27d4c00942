"""Probing /health of real sockets."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from gemma4ctl.launch.health import HealthWatch, healthy
from gemma4ctl.launch.spec import LaunchSpec
from tests.waiting import PATIENCE_S, wait_until


class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        Handler.asked += 1
        allowed = self.headers.get("Authorization") == "Bearer right"
        self.send_response(200 if allowed and self.path == "/health" else 401)
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def url():
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_only_200_is_healthy(url):
    assert healthy(url, api_key="right", timeout_s=PATIENCE_S)
    assert not healthy(url, api_key="wrong", timeout_s=PATIENCE_S)
    assert not healthy(url, timeout_s=PATIENCE_S)


def test_a_key_that_no_header_can_hold_is_not_healthy(url):
    assert not healthy(url, api_key="a\nb", timeout_s=PATIENCE_S)


def test_nobody_listening_or_answering_is_not_healthy(port):
    assert not healthy(f"http://127.0.0.1:{port}", timeout_s=PATIENCE_S)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        assert not healthy(f"http://{where}", timeout_s=0.05)
        assert not healthy(f"https://{where}", timeout_s=0.05)


def test_a_watch_passes_once_and_stops_when_told(url):
    watch = HealthWatch(url, api_key="right", interval_s=0.01, timeout_s=PATIENCE_S)
    watch.start()
    assert watch.passed.wait(PATIENCE_S)
    asked = Handler.asked
    hopeless = HealthWatch(url, api_key="wrong", interval_s=0.01, timeout_s=PATIENCE_S)
    hopeless.start()
    wait_until(lambda: Handler.asked > asked + 2)
    hopeless.stop()
    assert not hopeless.passed.is_set()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:30000"),
        ("0.0.0.0", "http://127.0.0.1:30000"),
        ("::", "http://[::1]:30000"),
        ("gpu7", "http://gpu7:30000"),
    ],
)
def test_where_a_client_on_this_machine_reaches_the_server(host, url):
    assert LaunchSpec(argv=("sglang",), host=host).url == url
