"""Time of calls that a CUDA graph replays, as serving runs them: no launch overhead of Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

Call = Callable[[], object]
CALLS = 48  # at least, in one graph
REPEATS = 7
SPAN_S = 0.02  # of replays between two events


def microseconds(calls: Sequence[Call]) -> float:
    """Median time of one call; ``calls`` follow each other in the graph, each on its own data."""
    graph, count = capture(calls)
    once = _replayed(graph, 1)
    replays = max(1, int(SPAN_S / max(once, 1e-6)))
    return 1e6 * median(_replayed(graph, replays) for _ in range(REPEATS)) / count


def capture(calls: Sequence[Call]) -> tuple[torch.cuda.CUDAGraph, int]:
    """The calls, repeated, as a graph, and how many it holds."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls:  # compiles and loads what capturing may not
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    rounds = -(-CALLS // len(calls))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for call in calls:
                call()
    graph.replay()
    torch.cuda.synchronize()
    return graph, rounds * len(calls)


def _replayed(graph: torch.cuda.CUDAGraph, replays: int) -> float:
    """Seconds of one of ``replays`` replays."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    for _ in range(replays):
        graph.replay()
    ended.record()
    ended.synchronize()
    return 1e-3 * began.elapsed_time(ended) / replays


def copy_bandwidth(size: int = 2 << 30) -> float:
    """Bytes a second, read and written, of a copy within the GPU."""
    source = torch.empty(size, dtype=torch.uint8, device="cuda").zero_()
    target = torch.empty_like(source)
    taken = [_timed(lambda: target.copy_(source)) for _ in range(12)][2:]
    return 2 * size / median(taken)


def _timed(call: Call) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - began
