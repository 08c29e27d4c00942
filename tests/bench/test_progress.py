"""How a measurement is shown while it runs."""

from __future__ import annotations

import io

import pytest

from gemma4ctl.bench.progress import Bar, Lines, display
from gemma4ctl.bench.record import Failure, Record
from gemma4ctl.bench.workload import SCENARIOS
from tests.bench.results import summary

LOAD = SCENARIOS["text-c1"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_at_each_quarter() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin(LOAD, "text-c1, run 1 of 1")
    for index in range(LOAD.requests):
        lines.done(Record(index, failure=Failure("http-503", "") if index > 4 else None))
    lines.end(summary(failed=5))
    lines.close()
    assert stream.getvalue().splitlines() == [
        "text-c1, run 1 of 1: 10 requests, 1 at a time",
        "  3 of 10",
        "  5 of 10",
        "  8 of 10, 3 failed",
        "  2 done in 2.0 s, 5 http-503; 3.0 tok/s out, TTFT 500.0 ms, TPOT 750.00 ms",
    ]


def test_a_reader_that_left_stops_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    Lines(stream).say("lost")


@pytest.mark.parametrize(
    ("stream", "environment", "kind"),
    [
        (io.StringIO(), {}, Lines),
        (Terminal(), {"TERM": "dumb"}, Lines),
        (Terminal(), {"NO_COLOR": "1"}, Lines),
        (Terminal(), {"TERM": "xterm"}, Bar),
    ],
)
def test_a_bar_only_where_it_can_be_seen(
    stream: io.StringIO, environment: dict[str, str], kind: type
) -> None:
    shown = display(stream, environment)
    shown.close()
    assert type(shown) is kind


def test_a_bar_becomes_a_line() -> None:
    stream = Terminal()
    shown = display(stream, {"TERM": "xterm"})
    shown.begin(LOAD, "text-c1, run 1 of 1")
    shown.done(Record(0))
    shown.end(summary())
    shown.say("[not markup]")
    shown.close()
    shown.close()
    assert "text-c1, run 1 of 1: 2 done in 2.0 s; 3.0 tok/s out" in stream.getvalue()
    assert "[not markup]" in stream.getvalue()
