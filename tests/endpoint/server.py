"""A small HTTP server that answers as a test tells it to."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answers = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Calls the answer of the path; 404 without one."""

    answers: dict[str, Answers]

    def do_GET(self) -> None:
        self.respond()

    def do_POST(self) -> None:
        self.received = self.rfile.read(int(self.headers["Content-Length"]))
        self.respond()

    def respond(self) -> None:
        answer = self.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    def give(self, body: bytes, *, status: int = 200, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Server(http.server.ThreadingHTTPServer):
    """Does not wait for clients, nor mind when they leave."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None: ...


@contextmanager
def serving(answers: dict[str, Answers]) -> Iterator[str]:
    """The URL of a server with ``answers`` by path."""
    kind = type("Answering", (Handler,), {"answers": answers})
    server = Server(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fixed(body: bytes, *, status: int = 200, kind: str = "application/json") -> Answers:
    """Always the same answer."""
    return lambda handler: handler.give(body, status=status, kind=kind)
