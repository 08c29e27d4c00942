"""The records of ``model.py``: which runs are there, and what they say beside the targets.

A pair is a round of one session (one call on one machine) that has runs of both contenders. A pair
of start-up is two starts of one session, at the same moment beside each other or each alone on the
GPU; the first starts on a machine are pairs of their own, which do not count. A ratio is always a
speed-up: above 1 the fused server is better.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from redaction import redacted
from shared import write

Record = dict[str, Any]
Pairs = dict[tuple[str, int], tuple[float, float]]  # figures by session and round
BASE, OURS = "stock", "fused"
EVEN = 0.99  # no figure may be worse than that
NOT_WORSE = 0.97  # TTFT: what repeated runs of one server differ by
START = 1 / 1.1
OTHER_AVERAGE = {"ttft_ms.median": "ttft_ms.mean", "ttft_ms.mean": "ttft_ms.median"}


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
    "ttft-c1": Metric("c1", "ttft_ms.median", "ms", True, NOT_WORSE, {}),
    # Of requests that come at once: a few batches of prefill give all first tokens, and the median
    # is when one of these ends, perhaps the next one if the first batch takes a request less.
    "ttft-c100": Metric("c100", "ttft_ms.mean", "ms", True, NOT_WORSE, {}),
    **{
        f"ttft-{name}": Metric(name, "ttft_ms.median", "ms", True, NOT_WORSE, {})
        for name in ("p64", "p610", "p2048", "padded")
    },
    "start-up": Metric("start", "seconds_to_ready", "s", True, START, {}),
}


def read(path: Path) -> Record | None:
    """A record, None before there is one."""
    found: Record | None = json.loads(path.read_text()) if path.exists() else None
    return found


def is_tuned(contender: str) -> bool:
    """Whether it is stock with flags of its own."""
    return contender.startswith(f"{BASE}-")


def measured(runs: Iterable[Record], session: str, number: int, contender: str, name: str) -> bool:
    """Whether a session has a run of a contender's measure in a round, with no failed request."""
    key = (session, number, contender, name, 0)
    names = ("session", "round", "contender", "measure", "failed")
    return any(tuple(run[name] for name in names) == key for run in runs)


def complete(runs: Sequence[Record], number: int, wanted: Sequence[tuple[str, str]]) -> bool:
    """Whether all of a round, contenders and measures, was measured in one session."""
    return not wanted or any(
        all(measured(runs, session, number, *one) for one in wanted)
        for session in {run["session"] for run in runs}
    )


def start_pairs(starts: Iterable[Record], base: str, *, cold: bool = False) -> Pairs:
    """Seconds of starts of ``base`` and of fused under equal conditions, in their order.

    Equal are starts of one session with the same servers on the GPU, if any, and all of them the
    first of their kind on the machine (``cold``: kernels are compiled) or none. Servers that were
    held back had imported their libraries before, and do not count.
    """
    found: defaultdict[tuple[str, frozenset[str]], dict[str, list[float]]]
    found = defaultdict(lambda: {base: [], OURS: []})
    for start in starts:
        alone = not start["beside"]
        company = frozenset() if alone else frozenset([start["contender"], *start["beside"]])
        seconds = found[start["session"], company]
        if start["cold"] is cold and start["contender"] in seconds and not start.get("held"):
            seconds[start["contender"]].append(start["seconds_to_ready"])
    count: Counter[str] = Counter()
    pairs = {}
    for (session, _), seconds in found.items():
        for pair in zip(seconds[base], seconds[OURS], strict=False):
            count[session] += 1
            pairs[session, count[session]] = pair
    return pairs


def counted(record: Record, metric: Metric, contender: str) -> list[Record]:
    """A contender's runs of a measure without failed requests."""
    key = (contender, metric.measure, 0)
    return [r for r in record["runs"] if (r["contender"], r["measure"], r["failed"]) == key]


def values(record: Record, metric: Metric, contender: str) -> dict[tuple[str, int], float]:
    """A contender's figures by session and round."""
    return {
        (run["session"], run["round"]): run["figures"][metric.figure]
        for run in counted(record, metric, contender)
    }


def single(record: Record, metric: Metric, contender: str) -> list[float]:
    """All figures of a contender, also those of no pair."""
    if metric.measure != "start":
        return list(values(record, metric, contender).values())
    return [
        start["seconds_to_ready"] for start in record["servers"]
        if start["contender"] == contender and not (start["cold"] or start.get("held"))
    ]  # fmt: skip


def compared(record: Record, metric: Metric, base: str, name: str = OURS) -> Record | None:
    """The server ``name`` beside ``base`` in the rounds that have both, None without any."""
    if metric.measure == "start":
        return summed_up(start_pairs(record["servers"], base), metric, base)
    ours, others = values(record, metric, name), values(record, metric, base)
    pairs = {key: (others[key], ours[key]) for key in others if key in ours}
    return summed_up(pairs, metric, base, name)


def cold_starts(record: Record) -> Record | None:
    """Stock and fused in the pairs of first starts, None without any."""
    pairs = start_pairs(record["servers"], BASE, cold=True)
    return summed_up(pairs, METRICS["start-up"], BASE)


def summed_up(pairs: Pairs, metric: Metric, base: str, name: str = OURS) -> Record | None:
    """Medians and speed-ups of pairs of ``base`` and ``name``, None without any.

    The ratio is the median of the pairs' own: one run that something else held up counts little.
    """
    if not pairs:
        return None

    def speed_up(of_base: float, of_ours: float) -> float:
        return of_base / of_ours if metric.lower_is_better else of_ours / of_base

    return {
        base: round(median(base for base, _ in pairs.values()), 4),
        name: round(median(ours for _, ours in pairs.values()), 4),
        "ratio": round(median(speed_up(*pair) for pair in pairs.values()), 4),
        "pairs": [
            {
                "session": session, "round": number, base: of_base, name: of_ours,
                "ratio": round(speed_up(of_base, of_ours), 4),
            }
            for (session, number), (of_base, of_ours) in pairs.items()
        ],
    }  # fmt: skip


def result(record: Record, name: str) -> Record | None:
    """What goes into the result file of a metric, None where no pair was measured."""
    metric = METRICS[name]
    found = compared(record, metric, BASE)
    if found is None:
        return None
    target = metric.target(record["variant"])
    flagged = {
        kind: row for kind in kinds(record)
        if kind.startswith(f"{OURS}-")
        and metric.measure != "start"
        and (row := compared(record, metric, OURS, kind)) is not None
    }  # fmt: skip
    about = ("variant", "gpu", "driver_version", "sglang_version", "torch_version",
             "triton_version", "gemma4ctl_version", "model_module", "date")  # fmt: skip
    return {
        **{key: record[key] for key in about if key in record},
        "metric": name,
        "figure": metric.figure,
        "unit": metric.unit,
        "lower_is_better": metric.lower_is_better,
        **found,
        "target": round(target, 4),
        "reached": found["ratio"] >= target,
        "tuned_stock": beside_tuned(record, metric),
        "other_fused": flagged,
        **beside_it(record, metric),
        "fused_kernels_active": active(record["servers"]),
        **told(record, metric, [kind for kind in kinds(record) if single(record, metric, kind)]),
    }  # fmt: skip


def kinds(record: Record) -> list[str]:
    """The contenders that were started."""
    return list(dict.fromkeys(server["contender"] for server in record["servers"]))


def told(record: Record, metric: Metric, contenders: Iterable[str]) -> dict[str, Record]:
    """Runs, commands and announcements of some contenders."""
    chosen = list(contenders)
    servers = [server for server in record["servers"] if server["contender"] in chosen]
    return {
        "runs": {kind: single(record, metric, kind) for kind in chosen},
        "commands": {server["contender"]: server["command"] for server in servers},
        "announced": {server["contender"]: server["announced"] for server in servers},
    }


def beside_tuned(record: Record, metric: Metric) -> dict[str, Record]:
    """Each kind of tuned stock that fused met, with the module that it met."""
    module = {key: record[key] for key in ("model_module", "date") if key in record}
    return {
        kind: {**row, **module} for kind in kinds(record)
        if is_tuned(kind) and (row := compared(record, metric, kind)) is not None
    }  # fmt: skip


def with_tuned(found: Record, record: Record) -> Record:
    """A result with what ``record`` has of tuned stock.

    The kinds come from a campaign of their own, which need not have been on the same machine: each
    row is of pairs of one call, with the fused server that it met there.
    """
    metric = METRICS[found["metric"]]
    tuned = beside_tuned(record, metric)
    parts = {"tuned_stock": tuned, **told(record, metric, tuned)}
    return {**found, **{key: {**found[key], **part} for key, part in parts.items()}}


def beside_it(record: Record, metric: Metric) -> Record:
    """What else a result file has: cold starts, retractions, and of TTFT the other average."""
    found: Record = {}
    if (other := OTHER_AVERAGE.get(metric.figure)) is not None:
        found[other] = compared(record, metric._replace(figure=other), BASE)
    if metric.measure == "start":
        found["cold"] = cold_starts(record)
    else:
        found["retractions"] = {
            kind: [run["retractions"] for run in counted(record, metric, kind)]
            for kind in (BASE, OURS)
        }
    return found


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


def measuring(records: Iterable[Record], metric: Metric) -> list[Record]:
    """The campaigns whose pairs, commands and module a metric's file has.

    Those with runs of the metric. Of start-up those that were made for it, which have pairs and no
    runs, or else all.
    """
    every = list(records)
    if metric.measure == "start":
        made = [one for one in every if not one["runs"] and compared(one, metric, BASE)]
        return made or every
    return [one for one in every if any(r["measure"] == metric.measure for r in one["runs"])]


def latest(records: Sequence[Record], metric: str, earlier: Record | None) -> Record | None:
    """A metric's result of these campaigns, None where it has none.

    Where only tuned stock met fused in one of them, it is added to the result of the others, or to
    the ``earlier`` one.
    """
    paired = [one for one in records if compared(one, METRICS[metric], BASE) is not None]
    added = [
        one for one in records if one not in paired and beside_tuned(one, METRICS[metric])
    ]  # fmt: skip
    found = result(merged(paired), metric) if paired else earlier
    if found is None or not (paired or added):
        return None
    for one in added:
        found = with_tuned(found, one)
    return found


def compare(out: Path, results: Path | None) -> None:
    """Print every metric beside its target, and write a result file for each."""
    for name, records in campaigns(out).items():
        record = merged(records)
        print(f"{name}: SGLang {record['sglang_version']}, {record['date']}")
        for metric in METRICS:
            earlier = read(results / f"{name}-{metric}.json") if results else None
            found = latest(measuring(records, METRICS[metric]), metric, earlier)
            if found is None:
                continue
            print(f"  {line(found)}")
            for base, row in found["tuned_stock"].items():
                pairs = len(row["pairs"])
                print(f"      {base} {row[base]:.3f}: {row['ratio']:.3f}x in {pairs} pairs")
            for kind, row in found["other_fused"].items():
                pairs = len(row["pairs"])
                print(f"      {kind} {row[kind]:.3f}: {row['ratio']:.3f}x fused in {pairs} pairs")
            if any(sum(counts) for counts in found.get("retractions", {}).values()):
                print(f"      the pools were too small, retractions: {found['retractions']}")
            if results is not None:
                write(results / f"{name}-{metric}.json", redacted(found))
        if (cold := cold_starts(record)) is not None:
            seconds = f"{cold[BASE]:.1f} -> {cold[OURS]:.1f} s, {cold['ratio']:.3f}x"
            print(f"  first starts on a machine {seconds}, {len(cold['pairs'])} pairs, not counted")
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
