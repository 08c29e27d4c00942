#!/usr/bin/env python3
"""What ``gemma4ctl replan`` predicts against what replaying the same requests gives.

    replan_replay.py MODELS OUT [--variant NAME] [--mix IN:OUT:WEIGHT,...] [--at-once N]
                     [--requests N] [--deadline SECONDS] [--port N] [-- FLAGS ...]

MODELS holds checkpoints named as on the hub (``12B-it``, ...); FLAGS go to SGLang, such as
``--load-format dummy``. Two servers, one after the other, each started with ``gemma4ctl serve``:

1. the published flags. N requests of the mix are sent, ``--at-once`` of them open at a time. While
   they run, ``replan --url`` watches; afterwards ``replan --requests`` reads the log of them.
2. the same with the flags that ``replan --requests`` changes. The same requests are sent again.

OUT gets ``requests.jsonl`` (the log), ``live.json`` and ``log.json`` (both proposals), and
``result.json``: throughput of both runs, the predicted and the replayed gain. The gain is of the
whole run; ``steady`` counts only the time from the first to the last quarter of the requests.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from serving import CLI, serving
from shared import split_flags

from gemma4ctl.bench import client
from gemma4ctl.bench.measure import flush_cache
from gemma4ctl.bench.record import Record
from gemma4ctl.bench.summary import summarize
from gemma4ctl.bench.workload import BOS, TEXT_TOKENS, Prompt
from gemma4ctl.endpoint.address import Endpoint

PORT = 30600
WATCHED_FROM = 0.25  # of the requests, when `replan --url` begins to watch
WATCH_S = 30


def requests_of(mix: str, count: int) -> list[Prompt]:
    """``count`` requests of ``IN:OUT:WEIGHT,...``, in an order of chance; always the same."""
    kinds = [tuple(map(int, part.split(":"))) for part in mix.split(",")]
    chance = random.Random(f"{mix} {count}")
    chosen = chance.choices(kinds, weights=[kind[2] for kind in kinds], k=count)
    return [
        Prompt(output_tokens=kind[1], token_ids=(BOS, *chance.choices(TEXT_TOKENS, k=kind[0] - 1)))
        for kind in chosen
    ]


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


def send(
    url: str, prompts: list[Prompt], at_once: int, begun: threading.Event | None = None
) -> client.Ran:
    """Send ``prompts``; ``begun`` is set when the first part of them is answered."""
    server = Endpoint(url)
    client.run(server, prompts[:1], concurrency=1, model="gemma")  # kernels are compiled
    flush_cache(server)
    done = []

    def note(record: Record) -> None:
        done.append(record)
        if begun is not None and len(done) >= WATCHED_FROM * len(prompts):
            begun.set()

    return client.run(server, prompts, concurrency=at_once, model="gemma", on_done=note)


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


def figures(ran: client.Ran) -> dict[str, float]:
    """The throughput of a run, in all and in its steady part."""
    summary = summarize(ran.records, ran.seconds)
    ends = sorted((r.ended, r.completion_tokens) for r in ran.records if r.ok)
    first, last = len(ends) // 4, 3 * len(ends) // 4
    tokens = sum(count for _, count in ends[first + 1 : last + 1])
    return {
        "seconds": round(ran.seconds, 2),
        "failed": summary.failures,
        "output_tok_s": summary.output_throughput,
        "steady_output_tok_s": tokens / (ends[last][0] - ends[first][0]),
        "ttft_ms": summary.ttft_ms.mean,
        "tpot_ms": summary.tpot_ms.mean,
    }


def recorded(args: argparse.Namespace, prompts: list[Prompt]) -> tuple[dict[str, Any], list[str]]:
    """The run with the published flags: figures, and the command."""
    live: dict[str, Any] = {}
    begun = threading.Event()

    def watch() -> None:
        if begun.wait(args.deadline):
            live.update(replan(args, "live.json", "--url", args.url, "--seconds", str(WATCH_S)))

    with server(args, "published", []) as command:
        watcher = threading.Thread(target=watch)
        watcher.start()
        ran = send(args.url, prompts, args.at_once, begun)
        begun.set()
        watcher.join()
    write_log(args.out / "requests.jsonl", ran.records)
    return {**figures(ran), "live": live}, command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--variant", default="12B")
    parser.add_argument("--mix", default="16000:512:1", metavar="IN:OUT:WEIGHT,...")
    parser.add_argument("--at-once", type=int, default=32, metavar="N")
    parser.add_argument("--requests", type=int, default=96, metavar="N")
    parser.add_argument("--deadline", type=float, default=1500, metavar="SECONDS")
    parser.add_argument("--port", type=int, default=PORT)
    own, flags = split_flags(sys.argv[1:])
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("the deadline is over"))
    signal.alarm(int(args.deadline))
    args.out, args.url = args.out.resolve(), f"http://127.0.0.1:{args.port}"
    args.out.mkdir(parents=True, exist_ok=True)
    prompts = requests_of(args.mix, args.requests)
    before, published = recorded(args, prompts)
    log = replan(args, "log.json", "--requests", str(args.out / "requests.jsonl"))
    changes = [c for c in log["changes"] if c["after"] is not None]
    changed = [word for change in changes for word in (change["flag"], change["after"])]
    with server(args, "replanned", changed) as command:
        after = figures(send(args.url, prompts, args.at_once))
    live = before.pop("live")
    result = {
        "date": datetime.date.today().isoformat(),
        "load": {"mix": args.mix, "at_once": args.at_once, "requests": args.requests},
        "commands": {"published": published, "replanned": command},
        "limit": {"live": live.get("limit"), "log": log["limit"]},
        "changes": changes,
        "published": before,
        "replanned": after,
        "replayed_gain": after["output_tok_s"] / before["output_tok_s"],
        "replayed_steady_gain": after["steady_output_tok_s"] / before["steady_output_tok_s"],
        "predicted_gain": {
            "log": (log["gain"] or {}).get("ratio"),
            "live": (live.get("gain") or {}).get("ratio"),
        },
    }
    (args.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: result[k] for k in ("predicted_gain", "replayed_gain",
                                             "replayed_steady_gain")}))  # fmt: skip


if __name__ == "__main__":
    main()
