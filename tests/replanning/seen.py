"""Observations, and metrics as SGLang 0.5.16 words them (constructed from its sources)."""

from __future__ import annotations

from typing import Any

from gemma4ctl.capacity.workload import Share
from gemma4ctl.replanning.observation import Observation


def observation(**fields: Any) -> Observation:
    """32,768-token requests of which two run and ten wait."""
    usual: dict[str, Any] = {
        "source": "test",
        "mix": (Share(32_768, 1.0),),
        "input_tokens": 32_256.0,
        "output_tokens": 512.0,
        "requests": 100,
        "running": 2.0,
        "waiting": 10.0,
    }
    return Observation(**{**usual, **fields})


LABELS = 'model_name="gemma",engine_type="unified",tp_rank="0",pp_rank="0"'
PROMPTS = ("1000.0", "2000.0", "30000.0", "35000.0", "+Inf")
STEPS = ("0.02", "0.025", "0.03", "+Inf")


def exposition(
    *,
    requests: int,
    prompts: tuple[int, ...],
    steps: tuple[int, ...],
    decoded: int,
    running: float = 2,
    waiting: float = 10,
    full: float = 0.31,
    sliding: float = 0.96,
    retracted: int = 0,
    inputs: int = 32_000,
    outputs: int = 500,
) -> str:
    """A text of ``/metrics``; ``prompts`` and ``steps`` are cumulative counts of buckets.

    Two requests decode together.
    """
    lines = [
        *_gauge("num_running_reqs", running),
        *_gauge("num_queue_reqs", waiting),
        *_gauge("full_token_usage", full),
        *_gauge("swa_token_usage", sliding),
        *_gauge("max_total_num_tokens", 100_000),
        *_gauge("swa_available_tokens", 3_000),
        *_gauge("swa_evictable_tokens", 1_000),
        *_gauge("swa_used_tokens", 76_000),
        *_gauge("gen_throughput", 60.0),
        *_counter("num_requests_total", requests),
        *_counter("num_retracted_requests_total", retracted),
        *_counter("prompt_tokens_total", requests * inputs),
        *_counter("generation_tokens_total", requests * outputs),
        "# TYPE sglang:realtime_tokens_total counter",
        f'sglang:realtime_tokens_total{{{LABELS},mode="decode"}} {decoded}',
        f'sglang:realtime_tokens_total{{{LABELS},mode="prefill_compute"}} {decoded * 60}',
        "# TYPE sglang:cuda_graph_passes_total counter",
        f'sglang:cuda_graph_passes_total{{{LABELS},mode="decode_cuda_graph"}} {decoded // 2}',
        *_histogram("prompt_tokens_histogram", PROMPTS, prompts, requests * inputs),
        *_histogram("inter_token_latency_seconds", STEPS, steps, steps[-1] * 0.03),
    ]
    return "\n".join([*lines, ""])


def _gauge(name: str, value: float) -> list[str]:
    return [f"# TYPE sglang:{name} gauge", f"sglang:{name}{{{LABELS}}} {value}"]


def _counter(name: str, value: float) -> list[str]:
    return [f"# TYPE sglang:{name} counter", f"sglang:{name}{{{LABELS}}} {value}"]


def _histogram(
    name: str, bounds: tuple[str, ...], counts: tuple[int, ...], total: float
) -> list[str]:
    buckets = [
        f'sglang:{name}_bucket{{{LABELS},le="{bound}"}} {count}'
        for bound, count in zip(bounds, counts, strict=True)
    ]
    return [
        f"# TYPE sglang:{name} histogram",
        *buckets,
        f"sglang:{name}_count{{{LABELS}}} {counts[-1]}",
        f"sglang:{name}_sum{{{LABELS}}} {total}",
    ]
