#!/usr/bin/env python3
"""Capture real SGLang start-up logs, failures included, as fixtures of the log parser.

    capture_logs.py MODELS_DIR OUT_DIR

MODELS_DIR holds config-only Gemma 4 checkpoints (E2B-it, E2B-it-assistant, 31B-it). Needs SGLang
and one GPU with at least 80 GB. Writes one ``NAME.log`` a scenario and ``scenarios.json`` (argv,
exit status, seconds, GPU, SGLang version, date).
"""

import concurrent.futures
import datetime
import importlib.metadata
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

MODELS, OUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
READY = "The server is fired up and ready to roll!"
RESULTS = []


def argv(model, port, *flags):
    return [
        "sglang", "serve", "--model-type", "llm", "--model-path", str(MODELS / model),
        "--load-format", "dummy", "--grammar-backend", "none", "--host", "127.0.0.1",
        "--port", str(port), "--mm-attention-backend", "triton_attn", *flags,
    ]  # fmt: skip


class Server:
    """One SGLang process whose output goes to ``NAME.log``."""

    def __init__(self, name, command):
        self.name, self.command, self.start = name, command, time.monotonic()
        self.log = (OUT / f"{name}.log").open("wb")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def text(self):
        return (OUT / f"{self.name}.log").read_text(errors="replace")

    def wait_ready(self, seconds):
        while time.monotonic() - self.start < seconds:
            if READY in self.text():
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(1)
        return False

    def finish(self, seconds, note=""):
        """Wait for the end (kill at the limit) and record the result."""
        timed_out = False
        try:
            self.process.wait(max(1, seconds))
        except subprocess.TimeoutExpired:
            timed_out = True
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        RESULTS.append({
            "name": self.name, "argv": self.command, "exit_status": self.process.returncode,
            "seconds": round(time.monotonic() - self.start, 1), "killed": timed_out, "note": note,
        })  # fmt: skip
        print(RESULTS[-1]["name"], RESULTS[-1]["exit_status"], RESULTS[-1]["seconds"], flush=True)


def fails(name, command, seconds=150):
    Server(name, command).finish(seconds)


def post(port, path, body, timeout=120):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return response.read().decode()


def chat(port):
    body = {"model": "m", "max_tokens": 16, "messages": [{"role": "user", "content": "t5 t6 t7"}]}
    return post(port, "/v1/chat/completions", body)


def fill(port, requests=24, tokens=600):
    """Enough long requests to overflow a small pool."""

    def one(i):
        ids = [1000 + 7 * i + j for j in range(100)]
        sampling = {"max_new_tokens": tokens, "ignore_eos": True, "temperature": 0}
        return post(port, "/generate", {"input_ids": ids, "sampling_params": sampling})

    with concurrent.futures.ThreadPoolExecutor(requests) as pool:
        return len(list(pool.map(one, range(requests))))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    taken = socket.create_server(("127.0.0.1", 30010))
    good = Server("e2b-ready-sigterm", argv("E2B-it", 30000, "--mem-fraction-static", "0.45"))
    time.sleep(20)
    small = Server(
        "e2b-retractions",
        argv("E2B-it", 30020, "--mem-fraction-static", "0.5", "--max-total-tokens", "4096",
             "--cuda-graph-max-bs-decode", "8"),
    )  # fmt: skip
    early = [
        Server("wrong-backend", argv("E2B-it", 30030, "--attention-backend", "fa3")),
        Server("unknown-flag", argv("E2B-it", 30031, "--attention-backnd", "triton")),
        Server("ambiguous-flag", argv("E2B-it", 30032, "--pp", "1")),
        Server("missing-model", argv("E9B-it", 30033)),
        Server("missing-draft", argv(
            "E2B-it", 30034, "--speculative-algorithm", "NEXTN", "--speculative-draft-model-path",
            str(MODELS / "E2B-it-absent"), "--speculative-num-steps", "5",
            "--speculative-num-draft-tokens", "6", "--speculative-eagle-topk", "1",
        )),
    ]  # fmt: skip
    for server in early:
        server.finish(90)
    print("e2b ready", good.wait_ready(240), flush=True)
    print(chat(30000)[:300], flush=True)
    print("small ready", small.wait_ready(240), flush=True)
    try:
        print("filled", fill(30020), flush=True)
    except Exception as error:
        print("fill", error, flush=True)
    os.killpg(small.process.pid, signal.SIGINT)
    small.finish(30, "retractions, then SIGINT to the process group")
    at = time.monotonic()
    good.process.send_signal(signal.SIGTERM)
    good.finish(60, "one chat request, then SIGTERM to the server process")
    print("drain seconds", round(time.monotonic() - at, 1), flush=True)
    port = Server("port-taken", argv("E2B-it", 30010, "--mem-fraction-static", "0.3"))
    swa = Server("swa-pool-too-small", argv(
        "E2B-it", 30040, "--mem-fraction-static", "0.4", "--swa-full-tokens-ratio", "0.0001"))
    swa.finish(120)
    port.finish(150)
    taken.close()
    fails("pool-too-small-31b", argv("31B-it", 30050, "--mem-fraction-static", "0.5"), 150)
    holder = subprocess.Popen([
        sys.executable, "-c",
        "import torch,time; x=torch.empty(40<<30,dtype=torch.uint8,device='cuda'); time.sleep(600)",
    ])  # fmt: skip
    time.sleep(8)
    fails("out-of-memory-31b", argv("31B-it", 30060), 120)
    holder.kill()
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
                         capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    (OUT / "scenarios.json").write_text(json.dumps({
        "gpu": gpu, "sglang_version": importlib.metadata.version("sglang"),
        "date": datetime.date.today().isoformat(), "scenarios": RESULTS,
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
