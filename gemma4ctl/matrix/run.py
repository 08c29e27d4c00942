"""Resolves the matrix on several processes."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.matrix.cases import Case, Part, cases
from gemma4ctl.matrix.resolve import Outcome, resolve
from gemma4ctl.profiles.table import Profiles

BATCHES_A_TURN = 4  # batches that a process takes at a time

_given: list[tuple[dict[str, Inventory], Profiles]] = []  # what a worker process starts with


def run(profiles: Profiles, part: Part, jobs: int) -> list[Outcome]:
    """The outcomes of ``part`` of the matrix, in the order of its cases, on ``jobs`` processes."""
    batches = list(cases(profiles, part))
    nodes = {
        name: simulate(name, platform.node_size, profiles)
        for name, platform in profiles.platforms.items()
    }
    if jobs == 1 or len(batches) <= BATCHES_A_TURN:
        return [outcome for batch in batches for outcome in resolve(batch, nodes, profiles)]
    with ProcessPoolExecutor(jobs, initializer=_start, initargs=(nodes, profiles)) as pool:
        return _joined(pool.map(_resolve, batches, chunksize=BATCHES_A_TURN))


def usable_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(nodes: dict[str, Inventory], profiles: Profiles) -> None:
    """Prepare a worker process: it ends before the little garbage in cycles would matter."""
    _given.append((nodes, profiles))
    gc.disable()


def _resolve(batch: list[Case]) -> list[Outcome]:
    return resolve(batch, *_given[0])


def _joined(batches: Iterable[list[Outcome]]) -> list[Outcome]:
    return [outcome for batch in batches for outcome in batch]
