"""The metrics of a real server under load, once a second, as ``replan --url`` samples them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from gemma4ctl.endpoint.metrics import Metrics
from gemma4ctl.endpoint.metrics import Sample as Value
from gemma4ctl.replanning.interval import Sample

CAPTURED = Path(__file__).parent / "captured"
WAVES = "12B-H200-metrics"  # requests that come in waves; derived from the server's log
STAGGERED = "12B-H200-staggered-published"  # those whose first answers were cut
INPUTS, OUTPUTS = 4_000, 1_500
GAUGES = {
    "num_running_reqs": "running",
    "num_queue_reqs": "waiting",
    "full_token_usage": "full",
    "swa_token_usage": "sliding",
    "gen_throughput": "generated_s",
}
TOTALS = {
    "num_requests": "requests",
    "num_retracted_requests": "retracted",
    "prompt_tokens": "prompts",
    "generation_tokens": "answers",
}
MODES = {"decode": "decoded", "prefill_compute": "computed", "prefill_cache": "cached"}


def rows(name: str) -> list[dict[str, float]]:
    """Those of a table under ``captured``."""
    with (CAPTURED / f"{name}.csv").open(encoding="utf-8") as file:
        found = csv.DictReader(line for line in file if not line.startswith("#"))
        return [{column: float(value) for column, value in row.items()} for row in found]


def samples(first: int, last: int, name: str = WAVES) -> list[Sample]:
    """Those of the seconds ``first`` to ``last``."""
    sample = _derived if name == WAVES else _sampled
    return [sample(row) for row in rows(name) if first <= row["second"] <= last]


def _derived(row: dict[str, float]) -> Sample:
    requests = row["requests"]
    lengths = {"prompts": requests * INPUTS, "answers": requests * OUTPUTS}
    gaps = {0.015: 0.0, 0.020: row["decoded"]}  # SGLang's buckets; the usual step takes 19 ms
    return Sample(row["second"], metrics(row | lengths, gaps | {math.inf: row["decoded"]}))


def _sampled(row: dict[str, float]) -> Sample:
    gaps = {bound / 1000: row[f"gaps_{bound}ms"] for bound in (15, 20, 25)}
    return Sample(row["second"], metrics(row, gaps | {math.inf: row["gaps"]}))


def metrics(row: Mapping[str, float], gaps: Mapping[float, float]) -> Metrics:
    """The metrics of a row; ``gaps`` are counts of times between tokens, up to a bound."""
    names = {name: row[column] for name, column in GAUGES.items()}
    names |= {f"{name}_total": row[column] for name, column in TOTALS.items()}
    rank = {"tp_rank": "0"}
    values: dict[str, tuple[Value, ...]] = {
        f"sglang:{name}": (Value(rank, value),) for name, value in names.items()
    }
    values["sglang:realtime_tokens_total"] = tuple(
        Value({**rank, "mode": mode}, row[column]) for mode, column in MODES.items()
    )
    values["sglang:cuda_graph_passes_total"] = (
        Value({**rank, "mode": "decode_cuda_graph"}, row["steps"]),
    )
    values["sglang:inter_token_latency_seconds_bucket"] = tuple(
        Value({**rank, "le": str(bound)}, count) for bound, count in gaps.items()
    )
    return Metrics(values)
