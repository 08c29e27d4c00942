#!/usr/bin/env python3
"""Start every variant with ``gemma4ctl serve`` on this machine, ask it something, stop it.

    starts.py MODELS OUT [--deadline SECONDS] [--only NAME ...] [--port N] [-- SGLANG_FLAGS ...]

MODELS holds checkpoints named as on the hub (``E2B-it``, ``E2B-it-assistant``, ...); they may be
config-only when ``--load-format dummy`` is among the flags. Every variant is started on one GPU,
E2B also with MTP, and 26B-A4B with MTP on two GPUs where there are two. With two GPUs, two starts
run side by side.

Each start: wait until ready, one chat and one image request, SIGTERM, exit status. It is recorded
in OUT as ``NAME.json``, with the server's log beside it; what is recorded as ready is not started
again.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from serving import CLI
from shared import split_flags, write

from gemma4ctl.png import png

READY_TIMEOUT_S = 420
STOP_TIMEOUT_S = 120
LEAST_TIME_S = 60  # a start that would have less before the deadline is left out
FIRST_PORT = 30000


@dataclass(frozen=True)
class Case:
    """One start: a variant on some GPUs. ``gpus`` are indices of `gemma4ctl detect`."""

    variant: str
    mtp: bool
    gpus: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the record, such as ``E2B-mtp-tp1``."""
        return f"{self.variant}{'-mtp' if self.mtp else ''}-tp{len(self.gpus)}"


@dataclass(frozen=True)
class Session:
    """What all starts share. ``end`` is the deadline on the monotonic clock, in seconds."""

    models: Path
    out: Path
    flags: tuple[str, ...]
    only: tuple[str, ...]
    end: float
    port: int


def lanes(gpus: list[str]) -> list[list[Case]]:
    """The starts on one GPU, in as many lanes as there are GPUs, at most two."""
    small = [("E2B", False), ("E2B", True), ("E4B", False)]
    large = [("12B", False), ("26B-A4B", False), ("31B", False)]
    split = [small, large] if len(gpus) > 1 else [small + large]
    return [
        [Case(variant, mtp, (gpu,)) for variant, mtp in lane]
        for lane, gpu in zip(split, gpus, strict=False)
    ]


def image_url(size: int = 96) -> str:
    """A square PNG with a colour gradient, as a data URL; ``size`` in pixels."""

    rows = [bytes(v for x in range(size) for v in (x * 2, y * 2, 128)) for y in range(size)]
    data = png(size, size, b"".join(b"\0" + row for row in rows), level=6)
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def ask(url: str, content: object) -> dict[str, Any]:
    """One chat request: HTTP status, token counts, seconds."""
    message = {"role": "user", "content": content}
    body = {"model": "gemma", "max_tokens": 16, "temperature": 0, "messages": [message]}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=180) as response:
            answer = json.loads(response.read())
            result = {"http_status": response.status, "usage": answer["usage"]}
            result["finish_reason"] = answer["choices"][0]["finish_reason"]
    except OSError as error:
        result = {"http_status": getattr(error, "code", None), "error": str(error)}
    return result | {"seconds": round(time.monotonic() - began, 2)}


def ask_both(url: str) -> dict[str, dict[str, Any]]:
    """A chat and an image request."""
    image = [
        {"type": "image_url", "image_url": {"url": image_url()}},
        {"type": "text", "text": "t7"},
    ]
    return {"chat": ask(url, "t5 t6 t7 t8"), "image": ask(url, image)}


def serve_command(case: Case, port: int, session: Session) -> list[str]:
    """The ``gemma4ctl serve`` of a start, without the interpreter."""
    model = session.models / f"{case.variant}-it"
    return [
        "gemma4ctl", "serve", "--model", case.variant, "--model-path", str(model),
        *(["--mtp"] if case.mtp else []),
        "--gpus", ",".join(case.gpus) + ",",  # the comma makes a single one an id, not a count
        "--port", str(port), "--ready-timeout", str(READY_TIMEOUT_S), "--json",
        "--log-file", str(session.out / f"{case.name}.log"), "--", *session.flags,
    ]  # fmt: skip


def wait_ready(process: subprocess.Popen[str], messages: Path, end: float) -> bool:
    """Whether ``serve`` announced on stderr, kept in ``messages``, that the server is ready."""
    while process.poll() is None and time.monotonic() < end:
        if "ready after" in messages.read_text():
            return True
        time.sleep(0.5)
    return False


def stop(process: subprocess.Popen[str]) -> float:
    """End ``serve`` with SIGTERM; the seconds that took."""
    began = time.monotonic()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return round(time.monotonic() - began, 1)


def document_in(out: IO[str]) -> dict[str, Any]:
    """The JSON that ``serve`` printed; "failed" when it printed none."""
    out.seek(0)
    text = out.read()
    return json.loads(text) if text.strip() else {"status": "failed"}


def start(case: Case, port: int, session: Session) -> dict[str, Any]:
    """Serve once; the record of the start."""
    command = serve_command(case, port, session)
    messages = session.out / f"{case.name}.stderr"
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, messages.open("w") as err:
        process = subprocess.Popen([*CLI, *command[1:]], stdout=out, stderr=err, text=True)
        ready = wait_ready(process, messages, session.end)
        requests = ask_both(f"http://127.0.0.1:{port}") if ready else {}
        seconds_to_stop = stop(process)
        document = document_in(out)
    return document | {
        "name": case.name,
        "command": command,
        "requests": requests,
        "seconds_to_stop": seconds_to_stop,
        "seconds": round(time.monotonic() - began, 1),
        "exit_status": process.returncode,
        "date": datetime.date.today().isoformat(),
    }


def is_recorded(path: Path) -> bool:
    """Whether ``path`` records a start that became ready."""
    return path.exists() and json.loads(path.read_text()).get("status") == "ready"


def run_lane(cases: Iterable[Case], port: int, session: Session, host: dict[str, Any]) -> None:
    """The starts of a lane, one after the other; ``host`` is added to every record."""
    for case in cases:
        path = session.out / f"{case.name}.json"
        if (session.only and case.name not in session.only) or is_recorded(path):
            continue
        if time.monotonic() > session.end - LEAST_TIME_S:
            print(case.name, "not started: the deadline is near", flush=True)
            continue
        record = start(case, port, session)
        write(path, record | host)
        asked = {kind: answer["http_status"] for kind, answer in record["requests"].items()}
        seconds, status = record.get("seconds_to_ready"), record["exit_status"]
        print(case.name, record["status"], seconds, asked, status, flush=True)


def detect() -> dict[str, Any]:
    """The inventory of this machine."""
    found = subprocess.run([*CLI, "detect", "--json"], capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def host_facts(inventory: dict[str, Any]) -> dict[str, Any]:
    """What a record says of the machine."""
    host = inventory["host"]
    return {
        "gpu_name": inventory["devices"][0]["name"],
        "driver": host["driver_version"],
        "packages": host["packages"],
    }


def arguments() -> Session:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--deadline", type=float, default=3600, metavar="SECONDS")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--port", type=int, default=FIRST_PORT, help="the first one that is used")
    own, flags = split_flags(sys.argv[1:])
    args = parser.parse_args(own)
    end = time.monotonic() + args.deadline
    only = tuple(args.only)
    return Session(args.models, args.out, tuple(flags), only, end, args.port)


def main() -> None:
    session = arguments()
    session.out.mkdir(parents=True, exist_ok=True)
    inventory = detect()
    host = host_facts(inventory)
    gpus = [str(device["index"]) for device in inventory["devices"] if device["visible"]]
    threads = [
        threading.Thread(target=run_lane, args=(cases, session.port + 10 * n, session, host))
        for n, cases in enumerate(lanes(gpus))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(gpus) > 1:
        run_lane([Case("26B-A4B", True, tuple(gpus[:2]))], session.port + 40, session, host)
    if not all(is_recorded(session.out / f"{name}.json") for name in session.only):
        sys.exit("not every start became ready")


if __name__ == "__main__":
    main()
