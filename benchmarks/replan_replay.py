#!/usr/bin/env python3
"""What ``gemma4ctl replan`` predicts against what replaying the same requests gives.

    replan_replay.py MODELS OUT [--variant NAME] [--mix IN:OUT:WEIGHT,...] [--at-once N]
                     [--requests N] [--deadline SECONDS] [--port N] [-- FLAGS ...]

MODELS holds checkpoints named as on the hub (``12B-it``, ...); FLAGS go to SGLang, such as
``--load-format dummy``. Two servers, one after the other, each started with ``gemma4ctl serve``:

1. the published flags. N requests of the mix are sent, ``--at-once`` of them open at a time. While
   they run, ``replan --url`` watches; afterwards ``replan --requests`` reads the log of them.
2. the same with the flags that ``replan --requests`` changes. The same requests are sent again.

The first ``--at-once`` requests ask for answers that are cut, each less than the one before it, so
that those after them are less apt to come and end in waves; they may all the same, which the
metrics show. What is compared is the steady throughput: the tokens that came after the last of the
cut ones and before the last request was sent, when as many requests are open as can be. So at least
three times ``--at-once`` requests are needed. The whole run, with its ramp and its tail, is told
too.

OUT gets, for each server, the log of the requests behind the cut ones (``published.jsonl``, ...)
and its metrics once a second (``published.metrics.gz``: JSON Lines of ``at``, in seconds, and
``text``, the metrics that ``replan`` reads); both proposals (``live.json``, ``log.json``); and
``result.json``: both runs, the predicted gains and the replayed one.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from redaction import machine_names, redacted
from serving import CLI, serving
from shared import gpu_names, split_flags, write

from gemma4ctl.bench import client
from gemma4ctl.bench.measure import flush_cache
from gemma4ctl.bench.record import Record
from gemma4ctl.bench.summary import summarize
from gemma4ctl.bench.workload import BOS, TEXT_TOKENS, Prompt
from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.metrics import parse
from gemma4ctl.replanning.interval import Sample, between

PORT = 30600
WATCH_S = 30
SAMPLE_S = 1.0
ROUNDS = 3  # of as many requests as are open: cut ones, steady ones, and the tail
READ = tuple(
    f"sglang:{name}"
    for name in (
        "num_running_reqs", "num_queue_reqs", "full_token_usage", "swa_token_usage",
        "max_total_num_tokens", "swa_available_tokens", "swa_evictable_tokens", "swa_used_tokens",
        "gen_throughput", "spec_accept_length", "realtime_tokens", "cuda_graph_passes",
        "num_requests", "num_retracted_requests", "prompt_tokens", "generation_tokens",
        "inter_token_latency_seconds",
    )
)  # fmt: skip


def requests_of(mix: str, count: int) -> list[Prompt]:
    """``count`` requests of ``IN:OUT:WEIGHT,...``, in an order of chance; always the same."""
    kinds = [tuple(map(int, part.split(":"))) for part in mix.split(",")]
    chance = random.Random(f"{mix} {count}")
    chosen = chance.choices(kinds, weights=[kind[2] for kind in kinds], k=count)
    return [
        Prompt(output_tokens=kind[1], token_ids=(BOS, *chance.choices(TEXT_TOKENS, k=kind[0] - 1)))
        for kind in chosen
    ]


def spread(prompts: Sequence[Prompt], at_once: int) -> list[Prompt]:
    """``prompts`` with the answers of the first ``at_once`` cut, the first one most."""
    shares = [(place + 1) / at_once for place in range(at_once)]
    cut = [
        replace(prompt, output_tokens=max(1, round(prompt.output_tokens * share)))
        for prompt, share in zip(prompts, shares, strict=False)
    ]
    return [*cut, *prompts[at_once:]]


def server(args: argparse.Namespace, name: str, changed: list[str]) -> Any:
    """A server with the published flags and ``changed``; gives the command."""
    model = args.models / f"{args.variant}-it"
    options = [
        "--model", args.variant, "--model-path", str(model), "--safe", "--tp-size", "1",
        "--port", str(args.port),
    ]  # fmt: skip
    return serving(args.out, name, options, ["--enable-metrics", *changed, *args.flags])


def replan(args: argparse.Namespace, file: str, *source: str) -> dict[str, Any]:
    """What ``replan`` says, kept in ``file``."""
    model = str(args.models / f"{args.variant}-it")
    options = ["--model", args.variant, "--model-path", model, "--tp-size", "1", "--json"]
    words = [*CLI, "replan", *options, *source]
    done = subprocess.run([*words, "--", *args.flags], capture_output=True, text=True)
    (args.out / file).write_text(done.stdout or done.stderr)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def kept(text: str) -> str:
    """The lines of an answer of ``/metrics`` that ``replan`` reads, without the machine's names."""
    lines = [
        line
        for line in text.splitlines()
        if line.removeprefix("# TYPE ").startswith(READ) and "_created" not in line
    ]
    return str(redacted("\n".join([*lines, ""]), machine_names()))


@contextmanager
def sampling(server: Endpoint, path: Path) -> Iterator[None]:
    """Keep the metrics of ``server`` in ``path``, every second while the ``with`` block runs."""
    done = threading.Event()

    def sample() -> None:
        with gzip.open(path, "wt") as file:
            while not done.wait(SAMPLE_S):
                at, answer = time.monotonic(), http.get(server, "/metrics", timeout_s=10.0)
                if answer.ok:
                    line = {"at": round(at, 3), "text": kept(answer.body.decode())}
                    file.write(json.dumps(line) + "\n")

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def samples_of(path: Path, began: float = 0.0) -> list[Sample]:
    """The metrics in ``path``; their times count from ``began``."""
    with gzip.open(path, "rt") as file:
        lines = [json.loads(line) for line in file]
    return [Sample(line["at"] - began, parse(line["text"])) for line in lines]


def send(
    args: argparse.Namespace, name: str, prompts: list[Prompt], steady: threading.Event
) -> dict[str, Any]:
    """Figures of a run; ``steady`` is set when as many as were cut are answered."""
    server, metrics = Endpoint(args.url), args.out / f"{name}.metrics.gz"
    client.run(server, prompts[-1:], concurrency=1, model="gemma")  # kernels are compiled
    flush_cache(server)
    done = []

    def note(record: Record) -> None:
        done.append(record)
        if len(done) >= args.at_once:
            steady.set()

    with sampling(server, metrics):
        began = time.monotonic()
        ran = client.run(server, prompts, concurrency=args.at_once, model="gemma", on_done=note)
    write_log(args.out / f"{name}.jsonl", ran.records[args.at_once :])
    part = steady_part(ran.records, args.at_once)
    return figures(ran, part) | counted(samples_of(metrics, began), part)


def write_log(path: Path, records: list[Record]) -> None:
    """The requests as JSON Lines, as ``replan --requests`` reads them."""
    lines = [
        {
            "input_tokens": record.prompt_tokens,
            "output_tokens": record.completion_tokens,
            "arrival_s": record.started,
            "latency_s": record.latency,
            "ttft_s": record.ttft,
            "step_s": median(gaps) if (gaps := record.gaps()) else None,
        }
        for record in records
        if record.ok
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def steady_part(records: Sequence[Record], at_once: int) -> tuple[float, float]:
    """From the end of the last cut request until the last one was sent, seconds of the run.

    The whole run where that is none, as when a cut request hung.
    """
    begin, end = max(r.ended for r in records[:at_once]), max(r.started for r in records)
    return (begin, end) if begin < end else (0.0, max(r.ended for r in records))


def figures(ran: client.Ran, part: tuple[float, float]) -> dict[str, float]:
    """The throughput of a run, in all and in its steady ``part``."""
    summary = summarize(ran.records, ran.seconds)
    begin, end = part
    tokens = sum(
        count
        for record in ran.records
        for at, count in zip(record.times, record.tokens, strict=True)
        if begin < at <= end
    )
    return {
        "seconds": round(ran.seconds, 2),
        "failed": summary.failures,
        "output_tok_s": summary.output_throughput,
        "steady_seconds": round(end - begin, 2),
        "steady_output_tok_s": tokens / (end - begin),
        "ttft_ms": summary.ttft_ms.mean,
        "tpot_ms": summary.tpot_ms.mean,
    }


def counted(samples: Sequence[Sample], part: tuple[float, float]) -> dict[str, float | None]:
    """What the server counted: requests that decoded together in the steady part, retractions.

    SGLang has no counter of retractions before the first one.
    """
    if not samples:
        return {"running": None, "retracted": None}
    retracted = samples[-1].metrics.total("sglang:num_retracted_requests_total")
    steady = [sample for sample in samples if part[0] <= sample.at <= part[1]]
    running = between(steady[0], steady[-1]).running if steady else None
    return {"running": running, "retracted": retracted or 0.0}


def recorded(args: argparse.Namespace, prompts: list[Prompt]) -> tuple[dict[str, Any], list[str]]:
    """The run with the published flags: figures, and the command."""
    live: dict[str, Any] = {}
    steady = threading.Event()

    def watch() -> None:
        if steady.wait(args.deadline):
            live.update(replan(args, "live.json", "--url", args.url, "--seconds", str(WATCH_S)))

    with server(args, "published", []) as command:
        watcher = threading.Thread(target=watch)
        watcher.start()
        found = send(args, "published", prompts, steady)
        steady.set()
        watcher.join()
    return {**found, "live": live}, command


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for."""
    own, flags = split_flags(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--variant", default="12B")
    parser.add_argument("--mix", default="16000:512:1", metavar="IN:OUT:WEIGHT,...")
    parser.add_argument("--at-once", type=int, default=32, metavar="N")
    parser.add_argument("--requests", type=int, default=96, metavar="N")
    parser.add_argument("--deadline", type=float, default=1500, metavar="SECONDS")
    parser.add_argument("--port", type=int, default=PORT)
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    if args.requests < ROUNDS * args.at_once:
        parser.error(f"--requests: at least {ROUNDS} times as many as --at-once, to be steady")
    args.out, args.url = args.out.resolve(), f"http://127.0.0.1:{args.port}"
    return args


def main() -> None:
    args = arguments(sys.argv[1:])
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("the deadline is over"))
    signal.alarm(int(args.deadline))
    args.out.mkdir(parents=True, exist_ok=True)
    result = redacted(compared(args), machine_names())
    write(args.out / "result.json", result)
    print(json.dumps({name: result[name] for name in ("predicted_gain", "replayed_gain")}))


def compared(args: argparse.Namespace) -> dict[str, Any]:
    """Both runs, the predicted gains and the replayed one."""
    prompts = spread(requests_of(args.mix, args.requests), args.at_once)
    before, published = recorded(args, prompts)
    log = replan(args, "log.json", "--requests", str(args.out / "published.jsonl"))
    if not log:
        sys.exit(f"replan --requests failed: see {args.out / 'log.json'}")
    changes = [c for c in log["changes"] if c["after"] is not None]
    changed = [word for change in changes for word in (change["flag"], change["after"])]
    with server(args, "replanned", changed) as command:
        after = send(args, "replanned", prompts, threading.Event())
    live = before.pop("live")
    served = json.loads((args.out / "published.serve.json").read_text())
    return {
        "date": datetime.date.today().isoformat(),
        "gpu": sorted(set(gpu_names())),
        "sglang": served["sglang_version"],
        "load": {"mix": args.mix, "at_once": args.at_once, "requests": args.requests},
        "commands": {"published": published, "replanned": command},
        "limit": {"live": live.get("limit"), "log": log["limit"]},
        "changes": changes,
        "published": before,
        "replanned": after,
        "replayed_gain": after["steady_output_tok_s"] / before["steady_output_tok_s"],
        "replayed_whole_gain": after["output_tok_s"] / before["output_tok_s"],
        "predicted_gain": {
            "log": (log["gain"] or {}).get("ratio"),
            "live": (live.get("gain") or {}).get("ratio"),
        },
    }


if __name__ == "__main__":
    main()
