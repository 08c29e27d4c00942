"""The load that a plan is tuned to."""

from __future__ import annotations

from typing import Any

import pytest

from .hosts import found


def test_published_values_stand_without_a_load() -> None:
    plain = found("H200", model="31B")
    assert plain.load is None and plain.ratio == (0.8, "sglang") and plain.chunk.origin == "sglang"
    safe = found("H200", model="31B", context_length=32_768, concurrency=8, safe=True)
    assert safe.pools == plain.pools and safe.load is None


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"context_length": 32_768}, "32,768 tokens"),
        ({"context_length": 32_768, "concurrency": 4}, "32,768 tokens, 4 at once"),
        ({"request_tokens": "1k:9,32k:1"}, "90% 1,024 + 10% 32,768 tokens"),
        ({"request_tokens": "1k", "context_length": 32_768}, "1,024 tokens"),
        ({"optimize": True}, "32,768 tokens"),
        ({"context_length": 32_768, "extra_args": ("--context-length", "8192")}, "8,192 tokens"),
    ],
)
def test_the_load_that_is_named(request_: dict[str, Any], text: str) -> None:
    load = found("H200", model="31B", **request_).load
    assert load is not None and load.text() == text
