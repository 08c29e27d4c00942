"""Prometheus metrics. The text is constructed after SGLang 0.5.16's collector."""

from __future__ import annotations

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.metrics import MetricsError, parse, read_metrics
from tests.endpoint.server import fixed, serving

TEXT = """\
# HELP sglang:token_usage The token usage.
# TYPE sglang:token_usage gauge
sglang:token_usage{dp_rank="0",model_name="g"} 0.25
sglang:token_usage{dp_rank="1",model_name="g"} 0.75
# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{dp_rank="0"} 10.0
sglang:prompt_tokens_total{dp_rank="1"} 32.0
# HELP sglang:queue_time_seconds Histogram of queueing time in seconds.
# TYPE sglang:queue_time_seconds histogram
sglang:queue_time_seconds_sum{dp_rank="0"} 1.5
sglang:queue_time_seconds_bucket{dp_rank="0",le="0.1"} 2.0
sglang:queue_time_seconds_bucket{dp_rank="0",le="+Inf"} 3.0
sglang:queue_time_seconds_count{dp_rank="0"} 3.0
"""


def test_counters_add_up_and_gauges_do_not() -> None:
    metrics = parse(TEXT)
    assert metrics.total("sglang:prompt_tokens_total") == 42
    assert metrics.total("sglang:prompt_tokens_total", dp_rank="1") == 32
    assert metrics.largest("sglang:token_usage") == 0.75
    assert metrics.mean("sglang:token_usage") == 0.5


def test_what_is_not_there_is_none() -> None:
    metrics = parse(TEXT)
    assert metrics.total("sglang:no") is None
    assert metrics.largest("sglang:token_usage", dp_rank="9") is None
    assert metrics.mean("sglang:no") is None
    assert metrics.histogram("sglang:no") is None


def test_a_histogram_and_what_came_since() -> None:
    before = parse(TEXT).histogram("sglang:queue_time_seconds")
    assert before is not None
    assert before.buckets == ((0.1, 2.0), (float("inf"), 3.0))
    assert (before.total, before.count, before.mean) == (1.5, 3.0, 0.5)
    later = parse(
        TEXT.replace('_sum{dp_rank="0"} 1.5', '_sum{dp_rank="0"} 9.5').replace("} 3.0", "} 5.0")
    )
    since = later.histogram("sglang:queue_time_seconds").minus(before)  # type: ignore[union-attr]
    assert (since.count, since.mean, since.buckets[0]) == (2.0, 4.0, (0.1, 0.0))
    assert before.minus(before).mean is None


@pytest.mark.parametrize("text", ["<html>no such page</html>\n", "sglang:x one\n", 'a{b="c} 1\n'])
def test_what_is_no_metrics_is_refused(text: str) -> None:
    with pytest.raises(MetricsError, match="not in Prometheus' format"):
        parse(text)


def test_metrics_of_a_server() -> None:
    with serving({"/metrics": fixed(TEXT.encode(), kind="text/plain")}) as url:
        assert read_metrics(Endpoint(url), 2).total("sglang:prompt_tokens_total") == 42


def test_a_server_without_metrics_is_told_how_to_have_them() -> None:
    with serving({}) as url, pytest.raises(MetricsError) as raised:
        read_metrics(Endpoint(url), 2)
    assert "HTTP 404" in str(raised.value)
    assert "--enable-metrics" in str(raised.value)
