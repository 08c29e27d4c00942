"""The metrics of a real server under load, once a second, as ``replan --url`` samples them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from gemma4ctl.endpoint.metrics import Metrics
from gemma4ctl.endpoint.metrics import Sample as Value
from gemma4ctl.replanning.interval import Sample

CAPTURED = Path(__file__).parent / "captured"
INPUTS, OUTPUTS = 4_000, 1_500
GAUGES = {
    "num_running_reqs": "running",
    "num_queue_reqs": "waiting",
    "full_token_usage": "full",
    "swa_token_usage": "sliding",
    "gen_throughput": "generated_s",
}
MODES = {"decode": "decoded", "prefill_compute": "computed", "prefill_cache": "cached"}


def samples(first: int, last: int) -> list[Sample]:
    """Those of the seconds ``first`` to ``last``."""
    with (CAPTURED / "12B-H200-metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    found = ({name: float(value) for name, value in row.items()} for row in rows)
    return [_sample(row) for row in found if first <= row["second"] <= last]


def _sample(row: dict[str, float]) -> Sample:
    gaps = {0.015: 0.0, 0.020: row["decoded"]}  # SGLang's buckets; the usual step takes 19 ms
    return Sample(row["second"], metrics(row, INPUTS, OUTPUTS, gaps))


def metrics(
    row: Mapping[str, float], inputs: int, outputs: int, gaps: Mapping[float, float]
) -> Metrics:
    """The metrics of a row; ``gaps`` are counts of times between tokens, up to a bound."""
    names = {name: row[column] for name, column in GAUGES.items()}
    names |= {
        "num_requests_total": row["requests"],
        "num_retracted_requests_total": row["retracted"],
        "prompt_tokens_total": row["requests"] * inputs,
        "generation_tokens_total": row["requests"] * outputs,
    }
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
        Value({**rank, "le": str(bound)}, count)
        for bound, count in [*gaps.items(), ("+Inf", row["decoded"])]
    )
    return Metrics(values)
