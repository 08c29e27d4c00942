"""What a start looks like on stderr."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gemma4ctl.launch.logs import Notice, PhaseEnded, PhaseStarted, Progress
from gemma4ctl.launch.status import LiveStatus, PlainStatus, status_sink

EVENTS = [
    PhaseEnded("starting", 46.0, ""),
    PhaseStarted("weights"),
    PhaseEnded("weights", 6.0, "10.00 GB, 68.50 GB free"),
    PhaseStarted("graphs"),
    Progress("graphs", 3, 36),
    Notice("retraction", "the KV cache is full", "lower --concurrency"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_status_is_one_line_for_each_phase():
    stream = io.StringIO()
    sink = PlainStatus(stream)
    for event in EVENTS:
        sink.event(event)
    sink.say("hello")
    sink.close()
    assert stream.getvalue().splitlines() == [
        "  starting                   46.0 s",
        "  loading weights             6.0 s  10.00 GB, 68.50 GB free",
        "warning: the KV cache is full [retraction]",
        "  try: lower --concurrency",
        "hello",
    ]


def test_a_reader_that_went_away_is_no_error():
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    PlainStatus(Gone()).say("hello")
    live = status_sink(Gone(), {})
    assert isinstance(live, LiveStatus)
    live.say("hello")
    live.event(PhaseStarted("weights"))
    live.close()


def test_live_status_shows_phase_steps_and_time():
    now = [0.0]
    stream = Terminal()
    sink = LiveStatus(Console(file=stream, width=100), clock=lambda: now[0])
    now[0] = 46.0
    for event in EVENTS:
        sink.event(event)
    now[0] = 50.0
    assert sink.line() == "capturing CUDA graphs 3/36  4 s, 50 s in all"
    sink.event(PhaseStarted("ready"))
    sink.say("[bold]ready[/bold] at http://127.0.0.1:30000/v1")
    sink.close()
    sink.close()
    text = stream.getvalue()
    assert "10.00 GB, 68.50 GB free" in text
    assert "[bold]ready[/bold] at http" in text


@pytest.mark.parametrize(
    ("environment", "kind"),
    [({}, LiveStatus), ({"NO_COLOR": "1"}, PlainStatus), ({"TERM": "dumb"}, PlainStatus)],
)
def test_a_terminal_gets_a_live_line_unless_it_cannot(environment, kind):
    assert type(status_sink(Terminal(), environment)) is kind


def test_a_pipe_gets_plain_lines(capsys):
    assert type(status_sink(io.StringIO(), {})) is PlainStatus
    sink = status_sink(environment={})
    sink.say("hello")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")
