#!/usr/bin/env python3
"""A stand-in for ``sglang``: logs like SGLang 0.5.16, answers /health, drains on SIGTERM.

The behaviour is chosen by ``--fake NAME`` anywhere in the arguments; what it does "later" is after
a request for ``/announced``. The log lines are constructed from the texts in the sources of the
sglang 0.5.16 wheel.
"""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time

ARGV = sys.argv[1:]
MODES = {ARGV[i + 1] for i, word in enumerate(ARGV) if word == "--fake"}


def option(name, default=None):
    return ARGV[ARGV.index(name) + 1] if name in ARGV else default


PORT = int(option("--port", "0"))
KEY = os.environ.get("FAKE_API_KEY")
STATE = {"ready": False, "draining": False}
ANNOUNCED = threading.Event()


def log(text, rank=" TP0"):
    print(f"[2026-11-22 03:00:00{rank}] {text}", flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/announced":
            self.send_response(204)
            self.end_headers()
            ANNOUNCED.set()
            return
        allowed = not KEY or self.headers.get("Authorization") == f"Bearer {KEY}"
        up = STATE["ready"] and not STATE["draining"] and "unhealthy" not in MODES
        self.send_response(401 if not allowed else 200 if up else 503)
        self.end_headers()

    def log_message(self, *args):
        pass


def start_stray(ignore_sigterm=True):
    """A worker that leaves the process group and ignores SIGTERM."""
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('stray', os.getpid(), flush=True)\n"
        "time.sleep(1000)\n"
    )
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    # one whose parent is gone
    subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess, sys\n"
            f"subprocess.Popen([sys.executable, '-c', {code!r}], start_new_session=True)",
        ],
    ).wait()


def drain(number, frame):
    log(f"SIGTERM received. signum={number} frame=None. Draining requests and shutting down...", "")
    STATE["draining"] = True
    if "ignore-sigterm" in MODES:
        return
    log(
        "Gracefully exiting... Remaining number of requests 0. Remaining requests []",
        "",
    )
    if "exit-zero" in MODES:
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def start_up():
    if "usage" in MODES:
        print(
            "usage: sglang serve [-h]\nsglang serve: error: unrecognized arguments: --no-such-flag",
            file=sys.stderr,
        )
        sys.exit(2)
    log(
        "server_args=ServerArgs(model_path='/m', api_key='shown-by-repr', "
        "mem_fraction_static=0.85, attention_backend='triton')",
        "",
    )
    if "print-secrets" in MODES:
        print(f"the key is {KEY} and the token is {os.environ['HF_TOKEN']}", flush=True)
    log("Load weight begin. avail mem=78.68 GB")
    log(
        "Load weight end. elapsed=2.11 s, type=Gemma4ForConditionalGeneration, avail mem=68.42 GB, "
        "mem usage=10.26 GB."
    )
    if "out-of-memory" in MODES:
        log(
            "Scheduler hit an exception: Traceback (most recent call last):\n"
            '  File "scheduler.py", line 1, in run\n    init()\n'
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB."
        )
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in MODES:
        time.sleep(1000)
    log("Use sliding window memory pool. full_layer_tokens=1000, swa_layer_tokens=800")
    log(
        "Capture target decode CUDA graph begin. backend=full, num_tokens_per_req=1, bs=[1, 2], "
        "avail mem=9.87 GB"
    )
    for step in range(3):
        sys.stderr.write(f"\r{step * 50}%|#####     | {step}/2 [00:00<00:00]")
        sys.stderr.flush()
    sys.stderr.write("\n")
    log(
        "Capture target decode CUDA graph end. elapsed=1.00 s, mem usage=0.50 GB, "
        "avail mem=9.37 GB."
    )
    log(
        "max_total_num_tokens=1000, chunked_prefill_size=8192, max_prefill_tokens=16384, "
        "max_running_requests=500, context_len=131072, available_gpu_mem=9.37 GB"
    )


def never_listen():
    """What SGLang 0.5.16 does when the port is taken: it says so and neither serves nor ends."""
    address = f"('127.0.0.1', {PORT})"
    trouble = f"error while attempting to bind on address {address}: address already in use"
    log("INFO:     Application startup complete.", "")
    log(f"ERROR:    [Errno 98] {trouble}", "")
    log("INFO:     Waiting for application shutdown.", "")
    while True:
        time.sleep(1000)


def main():
    signal.signal(signal.SIGTERM, drain)
    start_up()
    if "port-taken" in MODES:
        never_listen()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(
        f"INFO:     Uvicorn running on http://127.0.0.1:{PORT} (Press CTRL+C to quit)", flush=True
    )
    if "strays" in MODES:
        start_stray()
    STATE["ready"] = True
    if "silent" not in MODES:
        log("The server is fired up and ready to roll!", "")
    if "retract" in MODES:
        for _ in range(3):
            log(
                "KV cache pool is full. Retract requests. #retracted_reqs: 1, #new_tokens_gained: 5"
            )
    if "crash-later" in MODES:
        ANNOUNCED.wait()
        log("Scheduler hit an exception: torch.OutOfMemoryError: CUDA out of memory.")
        os._exit(3)
    if "exit-later" in MODES:
        ANNOUNCED.wait()
        os._exit(0)
    while True:
        time.sleep(1000)


main()
