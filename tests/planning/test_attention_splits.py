"""What is known of decode attention's splits: one measurement, and estimates."""

from __future__ import annotations

from typing import Any

import pytest

from .hosts import node, planned

MEASURED: dict[str, Any] = {"model": "E2B", "request_tokens": "32000+128", "concurrency": 1}


@pytest.mark.parametrize(
    ("platform", "changed", "value", "status"),
    [
        ("H200", {}, 128, "verified"),  # benchmarks/results/tune/E2B-32k-tpot-H200.json
        ("H200", {"request_tokens": "8k"}, 128, "estimated"),
        ("H200", {"sglang_version": "0.5.23"}, 128, "estimated"),
        ("H200", {"concurrency": 2}, 64, "estimated"),
        ("H200", {"model": "12B"}, 128, "estimated"),
        ("H100", {}, 128, "estimated"),
    ],
)
def test_only_what_was_measured_is_verified(
    platform: str, changed: dict[str, Any], value: int, status: str
) -> None:
    made = planned(node(platform, 1), **MEASURED | changed)
    decision = made.decision("triton_attention_num_kv_splits")
    assert decision and (decision.value, decision.status) == (value, status)
