#!/usr/bin/env python3
"""What a client's pause between an answer and its next request does to a server: a simulation.

    turnaround.py [OUT]

A scheduler like SGLang's runs the published scenario of 100 requests at once: what has arrived is
prefilled together, and first; all others wait for it; then every running request gets a token. The
times are E2B's on an H200, where a prefill takes about as long however short it is. For each pause
it prints how many prefills 1,000 requests take, and the output tokens a second; OUT gets the same
as JSON. No GPU is needed.
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shared import write

from gemma4ctl.bench.workload import SCENARIOS, lengths

STEP_S = 0.0049  # decoding with all requests running; half of it is there with one
PREFILL_S = 0.040
CHUNK = 8_192  # tokens of a prefill
AT_ONCE = 100
PAUSES_MS = (0, 5, 10, 20, 30, 40, 60, 100)


class Served(NamedTuple):
    """A simulated run."""

    pause_ms: float
    seconds: float
    prefills: int
    output_tok_s: float


def serve(inputs: Sequence[int], outputs: Sequence[int], pause_s: float) -> Served:
    """Serve requests of these lengths, ``AT_ONCE`` at a time, ``pause_s`` before each next one."""
    now, prefills, sent = 0.0, 0, min(AT_ONCE, len(inputs))
    arriving = [(0.0, request) for request in range(sent)]
    waiting: deque[int] = deque()
    running: dict[int, int] = {}  # tokens to go
    while arriving or waiting or running:
        if not waiting and not running:
            now = max(now, arriving[0][0])
        while arriving and arriving[0][0] <= now:
            waiting.append(heapq.heappop(arriving)[1])
        if waiting:
            room = CHUNK
            while waiting and inputs[waiting[0]] <= room:
                request = waiting.popleft()
                room -= inputs[request]
                running[request] = outputs[request] - 1
            now, prefills = now + PREFILL_S, prefills + 1
        else:
            now += STEP_S * (1 + len(running) / AT_ONCE) / 2
            for request in running:
                running[request] -= 1
        for request in [request for request, left in running.items() if left <= 0]:
            del running[request]
            if sent < len(inputs):
                heapq.heappush(arriving, (now + pause_s, sent))
                sent += 1
    return Served(pause_s * 1e3, now, prefills, sum(outputs) / now)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT")
    args = parser.parse_args()
    inputs, outputs = lengths(SCENARIOS["text-c100"])
    found = [serve(inputs, outputs, pause / 1e3) for pause in PAUSES_MS]
    print("pause ms  prefills  seconds  tok/s")
    for run in found:
        print(f"{run.pause_ms:8.0f}  {run.prefills:8}  {run.seconds:7.1f}  {run.output_tok_s:5.0f}")
    if args.out:
        times = {"step_s": STEP_S, "prefill_s": PREFILL_S, "chunk": CHUNK, "at_once": AT_ONCE}
        write(args.out, {"simulated": times, "runs": [run._asdict() for run in found]})


if __name__ == "__main__":
    main()
