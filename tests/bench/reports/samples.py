"""Results made up for the tests, close to what is published for E2B on an H200."""

from __future__ import annotations

from collections.abc import Sequence

from gemma4ctl.bench.document import BenchResult, Hardware, Planned, Run, Scenario, Served
from gemma4ctl.bench.summary import Distribution, Summary, spreads
from gemma4ctl.bench.workload import SCENARIOS, Workload

# Output tokens a second, TTFT and TPOT in ms, total by output tokens.
NEAR_PUBLISHED = {
    "text-c1": (240.0, 48.0, 4.02, 2.446),
    "text-c100": (9_950.0, 90.0, 9.40, 2.004),
    "image-c1": (231.0, 112.0, 4.05, 2.445),
    "image-c100": (5_600.0, 660.0, 16.9, 2.209),
}


def summary(output: float, ttft: float, tpot: float, total: float, factor: float = 1.0) -> Summary:
    """A run ``factor`` times as fast."""
    times = Distribution(mean=tpot / factor, median=tpot / factor, p99=1.4 * tpot / factor)
    first = Distribution(mean=ttft / factor, median=0.9 * ttft / factor, p99=2 * ttft / factor)
    return Summary(
        seconds=20.0 / factor,
        completed=10,
        input_tokens=6101,
        output_tokens=4220,
        request_throughput=0.5 * factor,
        input_throughput=(total - 1) * output * factor,
        output_throughput=output * factor,
        total_throughput=total * output * factor,
        peak_output_throughput=1.3 * output * factor,
        concurrency=1.0,
        peak_concurrency=1,
        ttft_ms=first,
        tpot_ms=times,
        itl_ms=times,
        e2e_ms=Distribution(mean=1700.0 / factor),
    )


def scenario(
    name: str = "text-c1", factors: Sequence[float] = (1.0,), workload: Workload | None = None
) -> Scenario:
    """A scenario with a run for each of ``factors``."""
    figures = NEAR_PUBLISHED[name]
    runs = [Run(started="2026-11-20T10:00:00+00:00", summary=summary(*figures, f)) for f in factors]
    return Scenario(
        workload=workload or SCENARIOS[name],
        client="builtin",
        api="chat" if name.startswith("image") else "generate",
        runs=tuple(runs),
        spread=spreads([run.summary for run in runs]),
    )


def result(*scenarios: Scenario, **changes: object) -> BenchResult:
    """A result of E2B on one H200."""
    fields = {
        "gemma4ctl_version": "0.2.0",
        "date": "2026-11-20T10:00:00+00:00",
        "command": ("gemma4ctl", "bench", "--repeat", "3", "-o", "e2b.json"),
        "url": "http://127.0.0.1:30000",
        "served": served(),
        "hardware": hardware(),
        "plan": None,
        "complete": True,
        "scenarios": scenarios or tuple(scenario(name) for name in NEAR_PUBLISHED),
    }
    return BenchResult(**fields | changes)  # type: ignore[arg-type]


def served(**changes: object) -> Served:
    fields = {
        "model": "google/gemma-4-E2B-it",
        "model_path": "google/gemma-4-E2B-it",
        "variant": "E2B",
        "tp": 1,
        "mtp": False,
        "release": "0.5.16",
        "server_args": {"attention_backend": "triton", "chunked_prefill_size": 8192},
    }
    return Served(**fields | changes)  # type: ignore[arg-type]


def hardware(platform: str = "H200", **changes: object) -> Hardware:
    fields = {
        "platform": platform,
        "gpu_count": 1,
        "gpus": (f"NVIDIA {platform}",),
        "driver_version": "580.95.05",
        "source": "nvml",
    }
    return Hardware(**fields | changes)  # type: ignore[arg-type]


def plan() -> Planned:
    return Planned(
        plan_hash="1f9a52c0",
        checkpoint="bf16",
        argv=("sglang", "serve", "--model-path", "google/gemma-4-E2B-it", "--port", "30000"),
        env={"SGLANG_ENABLE_SPEC_V2": "1"},
    )
