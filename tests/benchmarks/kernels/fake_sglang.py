#!/usr/bin/env python3
"""A stand-in for ``sglang``: it announces fused kernels, shared KV makes its pools larger.

It logs like SGLang 0.5.16 and like the model module (constructed from the texts of their sources),
writes a small trace when it is told to profile, and retracts where its pool is too small.
Log-probabilities are a function of the prompt, with some noise, and far off where ``BROKEN`` is
set. Fused, it prefills from CUDA graphs where it is asked to, but for FAKE_FAULT "eager".
``--broken`` makes it end with an error, and ``/generate`` fail where FAKE_FAULT is "generate".
"""

import gzip
import http.server
import json
import os
import random
import sys
import time
from importlib import metadata
from pathlib import Path

from gemma4ctl import __version__

ARGV = sys.argv[1:]
FUSED = os.environ.get("GEMMA4CTL_SGLANG_KERNELS") == "fused"
ASKED = os.environ.get("GEMMA4CTL_SGLANG_PREFILL_GRAPHS")
GRAPHS = bool(ASKED) and os.environ.get("FAKE_FAULT") != "eager"
SHARED = os.environ.get("GEMMA4CTL_SGLANG_KV") == "shared"
TOKENS = 2_300 if SHARED else 1_000
TOKEN_S = 0.002
PROFILE = {}


def log(text):
    print(f"[2026-11-22 03:00:00 TP0] {text}", flush=True)


def trace():
    """A step of three kernels, ten microseconds apart; the steps 100 us after each other."""
    events = [{"ph": "M", "name": "process_name"}]
    for step in range(PROFILE["num_steps"]):
        for number, name in enumerate(("nvjet_tst_64x8", "void norm::RMSNormKernel<8>(x)", "copy")):
            start = 150.0 * step + 20 * number
            event = {"ph": "X", "cat": "kernel", "name": name, "ts": start, "dur": 10.0}
            events.append(event)
    folder = Path(PROFILE["output_dir"])
    folder.mkdir(parents=True)
    data = json.dumps({"traceEvents": events}).encode()
    (folder / "1-TP-0-DECODE.trace.json.gz").write_bytes(gzip.compress(data))


def logprobs(prompt, count):
    """The values of a prompt's answer, less likely by half a nat where this server is broken."""
    values, noise = random.Random(repr(prompt)), random.Random()
    wrong = 0.5 if os.environ.get("BROKEN") else 0.0
    return [-values.uniform(0.2, 4) - wrong + noise.gauss(0, 0.002) for _ in range(count)]


def with_logprobs(asked):
    prompt, count = asked["input_ids"], asked["sampling_params"]["max_new_tokens"]
    chosen, first = logprobs(prompt, count), random.Random(repr(prompt)).randrange(200_000)
    info = {
        "input_token_logprobs": [[value, 1, None] for value in logprobs([prompt], 8)],
        "output_token_logprobs": [[value, first + n, None] for n, value in enumerate(chosen)],
        "output_top_logprobs": [[[v, 1, None], [v - 1, 2, None]] for v in chosen],
    }
    return {"text": "", "meta_info": info}


def about_image(asked):
    prompt = json.dumps(asked["messages"])
    content = [
        {"token": f"{prompt[-40:]}{n}", "logprob": value, "bytes": [],
         "top_logprobs": [{"token": "a", "logprob": value}, {"token": "b", "logprob": value - 1}]}
        for n, value in enumerate(logprobs(prompt, asked["max_tokens"]))
    ]  # fmt: skip
    return {"choices": [{"logprobs": {"content": content}}]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/start_profile":
            PROFILE.update(asked)
        if self.path == "/v1/chat/completions":
            self.answer(about_image(asked))
        elif self.path != "/generate":
            self.answer({})
        elif os.environ.get("FAKE_FAULT") == "generate":
            self.answer({}, 500)
        else:
            log(f"Prefill batch, #new-seq: 1, #new-token: 8, cuda graph: {GRAPHS and FUSED}")
            self.generate(asked)

    def generate(self, asked):
        if asked.get("return_logprob"):
            self.answer(with_logprobs(asked))
        elif asked.get("stream"):
            self.stream(len(asked["input_ids"]), asked["sampling_params"]["max_new_tokens"])
        else:
            self.batch(asked["input_ids"], asked["sampling_params"]["max_new_tokens"])

    def batch(self, prompts, length):
        if sum(len(prompt) + length for prompt in prompts) > TOKENS:
            log(
                "KV cache pool is full. Retract requests. #retracted_reqs: 3, #new_tokens_gained: 9"
            )
        if PROFILE:
            trace()
            PROFILE.clear()
        self.answer([{"output_ids": [sum(p) % 97] * length, "meta_info": {}} for p in prompts])

    def answer(self, document, status=200):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

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


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main():
    log(f"server_args=ServerArgs(argv={ARGV})")
    log(f"plugins: {[p.name for p in metadata.entry_points(group='sglang.srt.plugins')]}")
    log("Load weight begin. avail mem=138.68 GB")
    log(
        "Load weight end. elapsed=2.11 s, type=Gemma4ForConditionalGeneration, "
        "avail mem=128.68 GB, mem usage=10.00 GB."
    )
    if "GATE" in os.environ:
        Path(os.environ["GATE"] + ".waiting").touch()
        while not Path(os.environ["GATE"]).exists():
            time.sleep(0.01)
    if "--broken" in ARGV:
        log("torch.OutOfMemoryError: CUDA out of memory.")
        sys.exit(1)
    if FUSED:
        log(f"gemma4ctl {__version__} kernels: fused, Gemma4ForCausalLM, 35 layers: norms")
        if GRAPHS:
            log(f"gemma4ctl {__version__} prefill: graphs of {ASKED.replace(',', ', ')} tokens")
    if SHARED:
        log(f"gemma4ctl {__version__} KV: shared, 15 of 35 layers own KV")
    log(
        f"Use sliding window memory pool. full_layer_tokens={TOKENS}, "
        f"swa_layer_tokens={TOKENS * 4 // 5}"
    )
    log("Memory pool end. avail mem=11.16 GB")
    Server(("127.0.0.1", int(ARGV[ARGV.index("--port") + 1])), Handler).serve_forever()


main()
