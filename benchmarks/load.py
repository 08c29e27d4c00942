#!/usr/bin/env python3
"""Published flags against plans for a load, on real servers under that load.

    load.py run MODELS OUT [--deadline SECONDS] [--only NAME ...] [--gpus N ...]
    load.py compare OUT

For each of 12B, 26B-A4B and 31B on one GPU, four servers: the published flags ("page") and the
plans for long, short and mixed requests, all with the published memory fraction and the radix
cache on. GPUs of one host work side by side, a server on each. Loads, in tokens:

  long   conversations about a document of 32,768 tokens on average (within 1,024), 512 answered;
         two turns each, twice as many conversations as the page's flags hold at once. The first
         turn is all prefill; the second finds the document in the cache where the cache holds it.
  short  1,024 in, 256 out; as many at once as the page's flags hold
  mixed  nine short requests to a long one, as many at once as the page's flags hold

The page's server gets all loads, a plan its own. Weights are random and outputs have a fixed
length. A record is written after every load; a later call goes on where an earlier one stopped,
with the same MODELS and OUT. A server imports its libraries while the one before it is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "kernels"))

import servers
from shared import write

from gemma4ctl.bench import client
from gemma4ctl.bench.measure import flush_cache
from gemma4ctl.bench.summary import summarize
from gemma4ctl.bench.workload import BOS, TEXT_TOKENS, Prompt
from gemma4ctl.endpoint.address import Endpoint

DOCUMENT, SPREAD, QUESTION, ANSWER, TURNS = 32_768, 1_024, 64, 512, 2
SHORT_IN, SHORT_OUT = 1_024, 256
LONG = f"{DOCUMENT + TURNS * QUESTION}+{ANSWER}"  # as gemma4ctl reads it
SHORT = f"{SHORT_IN}+{SHORT_OUT}"
PLANS = {
    "page": ["--safe"],
    "long": ["--request-tokens", LONG],
    "short": ["--request-tokens", SHORT],
    "mixed": ["--request-tokens", f"{SHORT}:9,{LONG}:1"],
}
LOADS = {
    "page": ("long", "short", "mixed"),
    "long": ("long",),
    "short": ("short",),
    "mixed": ("mixed",),
}
# Longest first. Seconds that loads take on H200, and a start.
JOBS = (
    ("12B", "page"), ("31B", "page"), ("26B-A4B", "page"),
    ("12B", "long"), ("31B", "long"), ("26B-A4B", "long"),
    ("31B", "mixed"), ("12B", "mixed"), ("26B-A4B", "mixed"),
    ("31B", "short"), ("12B", "short"), ("26B-A4B", "short"),
)  # fmt: skip
START_S = 65
TURN_S = {"12B": 115, "31B": 60, "26B-A4B": 90}
SHORT_S, MIXED_S = 60, 95
FLAGS = (
    "--load-format",
    "dummy",
    "--grammar-backend",
    "none",
    "--mm-attention-backend",
    "triton_attn",
    "--enable-metrics",
)
READY_TIMEOUT_S = 240
RELEASE_S = 3.0  # for the driver


@dataclass(frozen=True)
class Job:
    """A server and the loads it gets."""

    model: str
    plan: str

    @property
    def name(self) -> str:
        return f"{self.model}-{self.plan}"

    def seconds(self, load: str) -> int:
        """How long ``load`` will take, about: later turns are quick where the cache holds them."""
        turns = TURNS if self.plan == "page" else 1.2
        return {"short": SHORT_S, "mixed": MIXED_S, "long": int(turns * TURN_S[self.model])}[load]


@dataclass(frozen=True)
class Session:
    """What all jobs share. ``end`` is on the monotonic clock."""

    models: Path
    out: Path
    end: float
    host: dict[str, str]


def suggest(model: str, plan: str, *options: str) -> dict[str, Any]:
    """The plan of a server, as JSON."""
    command = [
        sys.executable, "-m", "gemma4ctl", "suggest", "--json", "--model", model, "--tp-size", "1",
        "--modality", "text", *PLANS[plan], *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def concurrency(load: str, model: str, platform: str) -> int:
    """Requests at once: what the page's flags hold of the load, twice that for the long one."""
    plan = suggest(model, load, "--hardware", platform, "--gpus", "1")
    _, default = plan["capacity"]["splits"]
    held = max(1, default["requests"])
    return 2 * held if load == "long" else held


def document_prompts(load: str, count: int) -> list[list[Prompt]]:
    """The turns of a load: each is sent when the one before has been answered."""
    content = random.Random(load)
    if load == "long":
        lengths = [DOCUMENT + content.randint(-SPREAD, SPREAD) for _ in range(count)]
        documents = [words(content, length) for length in lengths]
        asked: list[list[Prompt]] = []
        for _ in range(TURNS):
            documents = [(*text, *words(content, QUESTION)) for text in documents]
            asked.append([Prompt(ANSWER, token_ids=text) for text in documents])
        return asked
    number = {"short": 2 * count, "mixed": 2 * count}[load]
    are_long = [load == "mixed" and n % 10 == 5 for n in range(number)]
    return [[
        Prompt(ANSWER, token_ids=words(content, DOCUMENT)) if long
        else Prompt(SHORT_OUT, token_ids=words(content, SHORT_IN))
        for long in are_long
    ]]  # fmt: skip


def words(content: random.Random, count: int) -> tuple[int, ...]:
    """``count`` tokens of text."""
    return (BOS, *content.choices(TEXT_TOKENS, k=count - 1))


def put_under(load: str, server: Endpoint, count: int, log: Path) -> dict[str, Any]:
    """The figures of one load."""
    flush_cache(server)
    before = log.read_text(errors="replace").count("Retract requests")
    turns = []
    for prompts in document_prompts(load, count):
        ran = client.run(server, prompts, concurrency=count, model="default")
        turns.append((summarize(ran.records, ran.seconds), ran.seconds))
    tokens = sum(summary.output_tokens for summary, _ in turns)
    return {
        "concurrency": count,
        "output_tok_s": tokens / sum(seconds for _, seconds in turns),
        "turns": [summary.model_dump(mode="json") for summary, _ in turns],
        "retracted": log.read_text(errors="replace").count("Retract requests") - before,
    }


class Server(servers.Process):
    """The server of a job, which touches its GPU only from :meth:`go` on."""

    def __init__(self, job: Job, plan: dict[str, Any], gpu: int, session: Session) -> None:
        self.job, self.plan, self.gpu = job, plan, gpu
        command = plan["command"]
        environment = command["env"] | {"CUDA_VISIBLE_DEVICES": str(gpu)}
        log = session.out / f"{job.name}.log"
        super().__init__(command["argv"], environment, port_of(job), log, held=True)

    def go(self, end: float) -> bool:
        """Let it load the model; whether it answers before it ends or time is up."""
        self.let_go()
        return self.ready(min(end, time.monotonic() + READY_TIMEOUT_S))

    def stop(self) -> None:
        """End it, and let the driver take its memory back."""
        self.end()
        time.sleep(RELEASE_S)


def port_of(job: Job) -> int:
    return 30_000 + 100 * JOBS.index((job.model, job.plan))


def planned(job: Job, gpu: int, session: Session) -> dict[str, Any]:
    """The plan of a job, for a GPU that nothing runs on yet."""
    weights = str(session.models / f"{job.model}-it")
    here = ["--gpus", f"{gpu},", "--port", str(port_of(job)), "--model-path", weights]
    return suggest(job.model, job.plan, *here, "--", *FLAGS)


def measure(server: Server, session: Session) -> None:
    """Put a server under its loads, and record what it did."""
    job, path = server.job, session.out / f"{server.job.name}.json"
    about = {"job": asdict(job), **session.host, "plan": summary_of(server.plan)}
    record = recorded(path) or about
    record.setdefault("loads", {})
    watch = Watch(server.gpu)
    watch.start()
    try:
        for load in open_loads(job, record, session.end):
            began = time.monotonic()
            count = concurrency(load, job.model, server.plan["hardware"]["platform"])
            record["loads"][load] = put_under(load, server.endpoint, count, server.log)
            record |= {"least_free_mib": watch.least_free(), "log": lines(server.log)}
            write(path, record)
            speed = record["loads"][load]["output_tok_s"]
            print(job.name, load, round(speed), "tok/s", round(time.monotonic() - began), "s")
    finally:
        watch.stop()


def recorded(path: Path) -> dict[str, Any] | None:
    """What an earlier call recorded of a job."""
    return json.loads(path.read_text()) if path.exists() else None


def open_loads(job: Job, record: dict[str, Any] | None, end: float) -> Iterator[str]:
    """The loads of ``job`` that are not recorded and that there is time for."""
    for load in LOADS[job.plan]:
        done = record is not None and load in record.get("loads", {})
        if not done and job.seconds(load) < end - time.monotonic():
            yield load


def summary_of(plan: dict[str, Any]) -> dict[str, Any]:
    return {"argv": plan["command"]["argv"], "capacity": plan["capacity"]}


class Watch(threading.Thread):
    """The least free memory of a GPU while a server works, MiB."""

    def __init__(self, gpu: int) -> None:
        super().__init__(daemon=True)
        self._gpu, self._ended = gpu, threading.Event()
        self._free: list[int] = []

    def run(self) -> None:
        query = ["nvidia-smi", "-i", str(self._gpu), "--query-gpu=memory.free"]
        while not self._ended.wait(0.5):
            done = subprocess.run(
                [*query, "--format=csv,noheader,nounits"], capture_output=True, text=True
            )
            self._free += [int(done.stdout)] if done.stdout.strip().isdigit() else []

    def least_free(self) -> int | None:
        return min(self._free, default=None)

    def stop(self) -> None:
        self._ended.set()


KEPT = re.compile(r"avail mem|mem usage|layer_tokens|max_total_num_tokens|Retract|rror")


def lines(log: Path) -> list[str]:
    """The lines of a server's log that show its memory."""
    found = [line[:240] for line in log.read_text(errors="replace").splitlines()]
    return [line for line in found if KEPT.search(line) and "server_args" not in line][:60]


def run(models: Path, out: Path, deadline: float, only: list[str], gpus: list[int]) -> bool:
    """Run the jobs that are not recorded yet, one GPU each; whether all are recorded then."""
    used = gpus or [gpu.index for gpu in servers.gpus()]
    host = servers.host(servers.gpus()[used[0]])
    session = Session(models, out, time.monotonic() + deadline, host)
    todo = [Job(*job) for job in JOBS]
    todo = [job for job in todo if not only or job.name in only]
    lock = threading.Lock()

    def has_work(job: Job) -> bool:
        done = recorded(out / f"{job.name}.json")
        return any(open_loads(job, done, session.end - START_S))

    plans = {job: planned(job, used[0], session) for job in todo if has_work(job)}

    def following(gpu: int) -> Server | None:
        """The next job's server, held back; None where there is no time for any."""
        with lock:
            job = next((job for job in plans if has_work(job)), None)
            return None if job is None else Server(job, plans.pop(job), gpu, session)

    def work(gpu: int) -> None:
        waiting = following(gpu)
        while waiting is not None:
            server, waiting = waiting, None
            try:
                if server.go(session.end):
                    waiting = following(gpu)
                    measure(server, session)
                else:
                    end = server.text()[-300:]
                    print(server.job.name, "not ready:", end)
            except (OSError, ValueError) as error:
                print(server.job.name, "failed:", error)
            finally:
                server.stop()
            waiting = waiting or following(gpu)

    workers = [threading.Thread(target=work, args=(gpu,)) for gpu in used]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return all(is_done(Job(*job), out) for job in JOBS if not only or "-".join(job) in only)


def is_done(job: Job, out: Path) -> bool:
    """Whether all loads of a job are recorded."""
    found = recorded(out / f"{job.name}.json") or {}
    return set(LOADS[job.plan]) <= found.get("loads", {}).keys()


def compare(out: Path) -> None:
    """Print each plan beside the page's flags."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
    for name, record in records.items():
        page = records.get(f"{record['job']['model']}-page", {}).get("loads", {})
        tokens = record["plan"]["capacity"]["full_layer_tokens"]
        print(f"{name}: {tokens:,} tokens, least free {record.get('least_free_mib')} MiB")
        for load, found in record.get("loads", {}).items():
            failed = sum(sum(turn["failed"].values()) for turn in found["turns"])
            ttft = [round(turn["ttft_ms"]["mean"]) for turn in found["turns"]]
            by_turn = [round(turn["output_throughput"]) for turn in found["turns"]]
            ratio = found["output_tok_s"] / page[load]["output_tok_s"] if load in page else 0
            print(
                f"  {load:6} {found['concurrency']:4} at once  {found['output_tok_s']:8.1f} tok/s "
                f"({ratio:.2f}x the page) by turn {by_turn}, TTFT {ttft} ms, failed {failed}, "
                f"retracted {found['retracted']}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    running = actions.add_parser("run")
    running.add_argument("models", type=Path)
    running.add_argument("out", type=Path)
    running.add_argument("--deadline", type=float, default=3600, metavar="SECONDS")
    running.add_argument("--only", nargs="+", default=[], metavar="NAME")
    running.add_argument("--gpus", nargs="+", type=int, default=[], metavar="N", help="not all")
    actions.add_parser("compare").add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.action == "compare":
        compare(args.out)
    elif not run(args.models, args.out, args.deadline, args.only, args.gpus):
        sys.exit("not everything was measured; call again")


if __name__ == "__main__":
    main()
