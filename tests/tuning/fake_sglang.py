#!/usr/bin/env python3
"""A stand-in for ``sglang`` whose speed, and whose luck, depend on its flags.

It logs like SGLang 0.5.16 (constructed from the texts of that release's sources) and answers
``/health`` and a streamed ``/generate``. A token takes ``FAKE_TOKEN_MS``: 0.6 times as long with
64 KV splits, 1.3 times with 32; ``/token_ms`` says how long. It dies for lack of memory at start
with prefill chunks of 16,384, and while serving with 4,096; with 2,048 it answers with an error.
Every process id goes to ``FAKE_PIDS``, the words of ``FAKE_WORDS`` to the arguments.
"""

import http.server
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

ARGV = [*sys.argv[1:], *os.environ.get("FAKE_WORDS", "").split()]


def option(name, default=None):
    places = [i for i, word in enumerate(ARGV) if word == name]
    return ARGV[places[-1] + 1] if places else default


CHUNK = option("--chunked-prefill-size")
SPEED = {"64": 0.6, "32": 1.3}.get(option("--triton-attention-num-kv-splits"), 1.0)
TOKEN_S = float(os.environ.get("FAKE_TOKEN_MS", "2")) / 1000 * SPEED


def log(text):
    print(f"[2026-11-22 03:00:00 TP0] {text}", flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, f"{TOKEN_S * 1000}".encode() if self.path == "/token_ms" else b"")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/generate" or CHUNK == "2048":
            self.answer(200 if self.path != "/generate" else 500)
        elif CHUNK == "4096":
            log("Scheduler hit an exception: torch.OutOfMemoryError: CUDA out of memory.")
            os._exit(3)
        else:
            self.stream(len(asked["input_ids"]), asked["sampling_params"]["max_new_tokens"])

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, prompt_tokens, length):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for count in range(1, length + 1):
            time.sleep(TOKEN_S)
            meta = {"prompt_tokens": prompt_tokens, "completion_tokens": count}
            event = {"text": "w" * count, "meta_info": meta}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, *args):
        pass


def drain(number, frame):
    os.kill(os.getpid(), signal.SIGKILL)  # as SGLang 0.5.16 ends after a drain


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main():
    signal.signal(signal.SIGTERM, drain)
    with Path(os.environ["FAKE_PIDS"]).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    log("Load weight begin. avail mem=138.68 GB")
    log(
        "Load weight end. elapsed=2.11 s, type=Gemma4ForConditionalGeneration, "
        "avail mem=128.42 GB, mem usage=10.26 GB."
    )
    if CHUNK == "16384":
        log("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.")
        os.kill(os.getpid(), signal.SIGKILL)
    log("Use sliding window memory pool. full_layer_tokens=1000, swa_layer_tokens=800")
    server = Server(("127.0.0.1", int(option("--port"))), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log("The server is fired up and ready to roll!")
    while True:
        time.sleep(1000)


main()
