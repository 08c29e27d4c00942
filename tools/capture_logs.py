#!/usr/bin/env python3
"""Capture real SGLang start-up logs, failures included, as fixtures of the log parser.

    capture_logs.py MODELS OUT

MODELS holds config-only Gemma 4 checkpoints (E2B-it, E2B-it-assistant, 31B-it). Needs SGLang and
one idle GPU of at least 80 GB. Writes ``NAME.log`` for each scenario and ``scenarios.json`` (argv,
exit status, seconds, GPU, SGLang version, date). The scenarios overlap to save time, so the memory
figures of a log may include another server's. About ten minutes.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

READY = "The server is fired up and ready to roll!"
TAKEN_PORT = 30010
WEIGHTS_31B_GIB = 59.6
CONTEXT_GIB = 1.3  # what the driver and a process take of the GPU before the weights
MTP_OF_AN_ABSENT_DRAFT = (
    "--speculative-algorithm", "NEXTN", "--speculative-num-steps", "5",
    "--speculative-num-draft-tokens", "6", "--speculative-eagle-topk", "1",
    "--speculative-draft-model-path",
)  # fmt: skip
HOLDER = (
    "import sys, time, torch; "
    "held = torch.empty(int(sys.argv[1]) << 30, dtype=torch.uint8, device='cuda'); "
    "print('held', flush=True); time.sleep(600)"
)


@dataclass(frozen=True)
class Result:
    """How a scenario ended. ``killed``: it was still running when its time was up."""

    name: str
    argv: list[str]
    exit_status: int
    seconds: float
    killed: bool
    note: str


@dataclass(frozen=True)
class Gpu:
    """The GPU that the scenarios run on."""

    name: str
    memory_gib: float

    @property
    def fraction_for_31b_weights(self) -> float:
        """A memory fraction that holds the weights of 31B and next to no KV pool."""
        return round(WEIGHTS_31B_GIB / (self.memory_gib - CONTEXT_GIB) + 0.0015, 3)

    @property
    def gib_to_hold(self) -> int:
        """Memory of another process that leaves 10 GiB too little for the weights of 31B."""
        return int(self.memory_gib - WEIGHTS_31B_GIB) + 10


class Server:
    """One SGLang process in a process group of its own; its output goes to ``NAME.log``."""

    def __init__(self, name: str, command: list[str], out: Path) -> None:
        self.name, self.command, self.log = name, command, out / f"{name}.log"
        self.began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_ready(self, seconds: float) -> None:
        """Wait until the log says that the server is ready.

        Raises:
            RuntimeError: it ended, or time was up.
        """
        while time.monotonic() - self.began < seconds and self.process.poll() is None:
            if READY in self.log.read_text(errors="replace"):
                return
            time.sleep(1)
        raise RuntimeError(f"{self.name} did not become ready: see {self.log}")

    def finish(self, seconds: float, note: str = "") -> Result:
        """Wait for the end, at most ``seconds``, and kill what is left of the group."""
        killed = False
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            killed = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status, took = self.process.wait(), round(time.monotonic() - self.began, 1)
        print(self.name, status, took, flush=True)
        return Result(self.name, self.command, status, took, killed, note)


@dataclass(frozen=True)
class Capture:
    """Where the models are, where the logs go, and the GPU."""

    models: Path
    out: Path
    gpu: Gpu

    def launch(self, name: str, model: str, port: int, *flags: str) -> Server:
        """Start SGLang with random weights; ``name`` is the scenario's."""
        command = [
            "sglang", "serve", "--model-type", "llm", "--model-path", str(self.models / model),
            "--load-format", "dummy", "--grammar-backend", "none", "--host", "127.0.0.1",
            "--port", str(port), "--mm-attention-backend", "triton_attn", *flags,
        ]  # fmt: skip
        return Server(name, command, self.out)


def refusals(capture: Capture) -> Iterator[Result]:
    """Starts that end while the arguments are read."""
    absent = str(capture.models / "E2B-it-absent")
    servers = [
        capture.launch("wrong-backend", "E2B-it", 30030, "--attention-backend", "fa3"),
        capture.launch("unknown-flag", "E2B-it", 30031, "--attention-backnd", "triton"),
        capture.launch("ambiguous-flag", "E2B-it", 30032, "--pp", "1"),
        capture.launch("missing-model", "E9B-it", 30033),
        capture.launch("missing-draft", "E2B-it", 30034, *MTP_OF_AN_ABSENT_DRAFT, absent),
    ]
    for server in servers:
        yield server.finish(90)


def ready_servers(capture: Capture) -> Iterator[Result]:
    """A server that answers and drains on SIGTERM, and one with a pool that overflows."""
    good = capture.launch("e2b-ready-sigterm", "E2B-it", 30000, "--mem-fraction-static", "0.45")
    good.wait_ready(240)
    small = capture.launch(
        "e2b-retractions", "E2B-it", 30020, "--mem-fraction-static", "0.5",
        "--max-total-tokens", "4096", "--cuda-graph-max-bs-decode", "8",
    )  # fmt: skip
    small.wait_ready(240)
    chat(30000)
    overflow(30020)
    os.killpg(small.process.pid, signal.SIGINT)
    yield small.finish(30, "retractions, then SIGINT to the process group")
    good.process.send_signal(signal.SIGTERM)
    yield good.finish(60, "one chat request, then SIGTERM to the server process")


def small_pools(capture: Capture) -> Iterator[Result]:
    """A port that is taken, and pools that hold no request."""
    with socket.create_server(("127.0.0.1", TAKEN_PORT)):
        port = capture.launch("port-taken", "E2B-it", TAKEN_PORT, "--mem-fraction-static", "0.3")
        yield port.finish(150)
    ratio = ("--mem-fraction-static", "0.4", "--swa-full-tokens-ratio", "0.0001")
    yield capture.launch("swa-pool-too-small", "E2B-it", 30040, *ratio).finish(120)
    share = ("--mem-fraction-static", str(capture.gpu.fraction_for_31b_weights))
    yield capture.launch("pool-too-small-31b", "31B-it", 30050, *share).finish(150)


def out_of_memory(capture: Capture) -> Iterator[Result]:
    """Weights that do not fit, because another process holds the GPU's memory."""
    with memory_held(capture.gpu.gib_to_hold):
        yield capture.launch("out-of-memory-31b", "31B-it", 30060).finish(120)


@contextmanager
def memory_held(gib: int) -> Iterator[None]:
    """Another process that holds ``gib`` of the GPU's memory."""
    command = [sys.executable, "-c", HOLDER, str(gib)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()  # "held"
        try:
            yield
        finally:
            holder.kill()


def post(port: int, path: str, body: object) -> None:
    """One request to a server of this machine; the answer does not matter."""
    headers = {"Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        response.read()


def chat(port: int) -> None:
    """One chat request."""
    messages = [{"role": "user", "content": "t5 t6 t7"}]
    body = {"model": "m", "max_tokens": 16, "temperature": 0, "messages": messages}
    post(port, "/v1/chat/completions", body)


def overflow(port: int, requests: int = 24, tokens: int = 600) -> None:
    """Enough long requests at once to overflow a small pool."""
    sampling = {"max_new_tokens": tokens, "ignore_eos": True, "temperature": 0}

    def one(number: int) -> None:
        ids = [1000 + 7 * number + position for position in range(100)]
        post(port, "/generate", {"input_ids": ids, "sampling_params": sampling})

    with ThreadPoolExecutor(requests) as pool:
        list(pool.map(one, range(requests)))


def this_gpu() -> Gpu:
    """The first GPU of this machine."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    name, _, memory_mib = lines[0].rpartition(", ")
    return Gpu(name, int(memory_mib) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    capture = Capture(args.models, args.out, this_gpu())
    groups = (refusals, ready_servers, small_pools, out_of_memory)
    results = [asdict(result) for group in groups for result in group(capture)]
    document = {
        "gpu": f"{capture.gpu.name}, {round(capture.gpu.memory_gib * 1024)} MiB",
        "sglang_version": importlib.metadata.version("sglang"),
        "date": datetime.date.today().isoformat(),
        "scenarios": results,
    }
    (args.out / "scenarios.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
