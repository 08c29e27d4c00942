"""The records of ``model.py``: which runs are there, and what they say beside the targets.

A pair is a round of one session (one call on one machine) that has runs of both contenders. A
ratio is always a speed-up: above 1 the fused server is better.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from shared import write

Record = dict[str, Any]
BASE, OURS = "stock", "fused"
EVEN = 0.99  # no figure may be worse than that
NOT_WORSE = 0.97  # TTFT: what repeated runs of one server differ by
START = 1 / 1.1


class Metric(NamedTuple):
    """A figure of a measure's runs. ``targets`` by variant; ``floor`` for the others."""

    measure: str
    figure: str
    unit: str
    lower_is_better: bool
    floor: float
    targets: dict[str, float]

    def target(self, variant: str) -> float:
        """The speed-up that is asked for."""
        return self.targets.get(variant, self.floor)


C1 = {"E2B": 1.35, "E4B": 1.25, "26B-A4B": 1.2, "12B": 1.1, "31B": 1.05}
C100 = dict.fromkeys(("E2B", "E4B", "26B-A4B"), 1.05)
METRICS = {
    "tpot-c1": Metric("c1", "tpot_ms.mean", "ms", True, EVEN, C1),
    "output-throughput-c100": Metric("c100", "output_throughput", "tok/s", False, EVEN, C100),
    "ttft-c1": Metric("c1", "ttft_ms.mean", "ms", True, NOT_WORSE, {}),
    "ttft-c100": Metric("c100", "ttft_ms.mean", "ms", True, NOT_WORSE, {}),
    "start-up": Metric("start", "seconds_to_ready", "s", True, START, {}),
}


def read(path: Path) -> Record | None:
    """A record, None before there is one."""
    found: Record | None = json.loads(path.read_text()) if path.exists() else None
    return found


def measured(runs: Iterable[Record], session: str, number: int, contender: str, name: str) -> bool:
    """Whether a session has a run of a contender's measure in a round."""
    key = (session, number, contender, name)
    return any((r["session"], r["round"], r["contender"], r["measure"]) == key for r in runs)


def complete(
    runs: Sequence[Record], number: int, contenders: Iterable[str], measures: Iterable[str]
) -> bool:
    """Whether all of a round was measured in one session."""
    wanted = list(product(contenders, measures))
    return any(
        all(measured(runs, session, number, *one) for one in wanted)
        for session in {run["session"] for run in runs}
    )


def warm_starts(starts: Iterable[Record], contender: str) -> list[float]:
    """Seconds of a contender's starts alone on the GPU, kernels compiled before."""
    return [
        found["seconds_to_ready"] for found in starts
        if found["contender"] == contender and not found["cold"] and not found["beside"]
    ]  # fmt: skip


def values(record: Record, metric: Metric, contender: str) -> dict[tuple[str, int], float]:
    """A contender's figures by session and round."""
    if metric.measure == "start":
        return dict(enumerate_starts(warm_starts(record["servers"], contender)))
    return {
        (run["session"], run["round"]): run["figures"][metric.figure]
        for run in record["runs"]
        if (run["contender"], run["measure"], run["failed"]) == (contender, metric.measure, 0)
    }


def enumerate_starts(seconds: Iterable[float]) -> Iterator[tuple[tuple[str, int], float]]:
    """Starts in the order in which they were made."""
    for number, value in enumerate(seconds, 1):
        yield ("", number), value


def compared(record: Record, metric: Metric, base: str) -> Record | None:
    """The fused server beside ``base`` in the rounds that have both, None without any."""
    ours, others = values(record, metric, OURS), values(record, metric, base)
    keys = [key for key in others if key in ours]
    if not keys:
        return None

    def speed_up(of_base: float, of_ours: float) -> float:
        return of_base / of_ours if metric.lower_is_better else of_ours / of_base

    means = fmean(others[key] for key in keys), fmean(ours[key] for key in keys)
    return {
        base: round(means[0], 4),
        OURS: round(means[1], 4),
        "ratio": round(speed_up(*means), 4),
        "pairs": [
            {
                "session": session, "round": number, base: others[session, number],
                OURS: ours[session, number],
                "ratio": round(speed_up(others[session, number], ours[session, number]), 4),
            }
            for session, number in keys
        ],
    }  # fmt: skip


def result(record: Record, name: str) -> Record | None:
    """What goes into the result file of a metric, None where no pair was measured."""
    metric = METRICS[name]
    found = compared(record, metric, BASE)
    if found is None:
        return None
    target = metric.target(record["variant"])
    kinds = dict.fromkeys(server["contender"] for server in record["servers"])
    tuned = {
        kind: row for kind in kinds
        if kind.startswith("stock-") and (row := compared(record, metric, kind)) is not None
    }  # fmt: skip
    about = ("variant", "gpu", "driver_version", "sglang_version", "torch_version",
             "triton_version", "gemma4ctl_version", "date")  # fmt: skip
    return {
        **{key: record[key] for key in about},
        "metric": name,
        "unit": metric.unit,
        "lower_is_better": metric.lower_is_better,
        **found,
        "target": round(target, 4),
        "reached": found["ratio"] >= target,
        "tuned_stock": tuned,
        "fused_kernels_active": active(record["servers"]),
        "runs": {
            kind: list(values(record, metric, kind).values()) for kind in kinds
        },
        "commands": {
            server["contender"]: server["command"] for server in record["servers"]
        },
        "announced": {
            server["contender"]: server["announced"] for server in record["servers"]
        },
    }  # fmt: skip


def active(starts: Iterable[Record]) -> bool:
    """Whether every fused server said that it runs the fused kernels."""
    said = [" ".join(found["announced"]) for found in starts if found["contender"] == OURS]
    return bool(said) and all("kernels: fused" in text for text in said)


def merged(records: Iterable[Record]) -> Record:
    """The campaigns of one variant on one kind of GPU as one record."""
    whole: Record = {}
    for record in records:
        joined = {key: whole.get(key, []) + record[key] for key in ("runs", "servers", "failures")}
        whole = {**whole, **record, **joined}
    return whole


def campaigns(out: Path) -> dict[str, list[Record]]:
    """The records of ``model.py`` in ``out`` by variant and GPU."""
    found: dict[str, list[Record]] = {}
    for path in sorted(out.glob("*.json")):
        record = json.loads(path.read_text())
        if "runs" in record and "servers" in record:
            found.setdefault(path.stem.rsplit("-", 1)[0], []).append(record)
    return found


def compare(out: Path, results: Path | None) -> None:
    """Print every metric beside its target, and write a result file for each."""
    for name, records in campaigns(out).items():
        record = merged(records)
        print(f"{name}: SGLang {record['sglang_version']}, {record['date']}")
        for metric in METRICS:
            found = result(record, metric)
            if found is None:
                continue
            print(f"  {line(found)}")
            for base, row in found["tuned_stock"].items():
                pairs = len(row["pairs"])
                print(f"      {base} {row[base]:.3f}: {row['ratio']:.3f}x in {pairs} pairs")
            if results is not None:
                write(results / f"{name}-{metric}.json", found)
        for failure in record["failures"]:
            print(f"  {failure['contender']} failed: {failure['reason']}")
        if not active(record["servers"]):
            print("  the fused server did not say that it runs the fused kernels")


def line(found: Record) -> str:
    """A row of the table."""
    ratios = [pair["ratio"] for pair in found["pairs"]]
    verdict = "reached" if found["reached"] else "MISSED"
    few = "" if len(ratios) >= 3 else ", fewer than 3 pairs"
    return (
        f"{found['metric']:22} {found['stock']:9.3f} -> {found['fused']:9.3f} {found['unit']:5} "
        f"{found['ratio']:.3f}x ({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} pairs), "
        f"asked {found['target']:.2f}: {verdict}{few}"
    )
