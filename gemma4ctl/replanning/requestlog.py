"""What a log of requests tells of a load: JSON Lines, SGLang's own log, a bench result.

- JSON Lines: an object a request with ``input_tokens`` and ``output_tokens`` (or
  ``prompt_tokens``, ``completion_tokens``), and where known ``arrival_s``, ``latency_s``,
  ``ttft_s`` and ``step_s`` in seconds.
- SGLang's, of ``--log-requests``: its JSON format (``--log-requests-format json``) and the lines
  that begin with "Finish:" of its text format.
- A file of ``gemma4ctl bench``: the lengths are those that its scenarios ask for.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from io import BufferedReader
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from gemma4ctl.errors import UsageError
from gemma4ctl.replanning.observation import Observation, mix_of

FEWEST = 2  # requests, for rates and numbers at once
LONG_ENOUGH = 0.1  # of the time of a log, for a part of it to count
TOGETHER = 2  # decode steps within which a client sees the ends of one step
HEAD = 4096  # bytes, in which a bench result says what it is
LARGEST_LINE = 16 << 20  # bytes, prompt included
LARGEST_FILE = 1 << 30  # bytes; what is beyond is left out, as are more requests than
MOST_REQUESTS = 1_000_000
LARGEST_NUMBER = 1 << 32  # tokens, or seconds since any point of time
_NUMBER = r"['\"]{}['\"]: ?(?P<{}>[\d.eE+-]+)"
_TEXT_FIELDS = {
    name: re.compile(_NUMBER.format(name, "value"))
    for name in ("prompt_tokens", "completion_tokens", "e2e_latency")
}
_STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


class Span(NamedTuple):
    """From ``begin`` to ``end``, seconds of one clock."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin

    def seconds_of(self, other: Span) -> float:
        """How long both last."""
        return max(0.0, min(self.end, other.end) - max(self.begin, other.begin))


class Logged(NamedTuple):
    """One request of a log; seconds. ``arrival_s`` counts from any point of time."""

    input_tokens: int
    output_tokens: int
    arrival_s: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    step_s: float | None = None

    def span(self) -> Span | None:
        """From its arrival to its end; None: not known."""
        if self.arrival_s is None or self.latency_s is None:
            return None
        return Span(self.arrival_s, self.arrival_s + self.latency_s)

    def first_s(self) -> float | None:
        """When its first token came, on the clock of ``arrival_s``; None: not known, or no end."""
        if self.arrival_s is None or self.latency_s is None or self.ttft_s is None:
            return None
        return self.arrival_s + self.ttft_s


def read(path: Path) -> list[Logged]:
    """The requests in ``path``; lines that tell of none are passed over.

    Raises:
        UsageError: the file cannot be read, or tells of no request.
    """
    try:
        with path.open("rb") as file:
            found = _bench_result(file) or list(_requests(_lines(file)))
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    if not found:
        raise _refused(path, "no line of it tells of a finished request")
    return found


def observe(requests: list[Logged], source: str, in_flight: int | None = None) -> Observation:
    """What ``requests`` tell of the load; ``in_flight`` where the log does not know the times."""
    spans = [span for request in requests if (span := request.span()) is not None]
    seconds = _whole(spans).seconds if len(spans) >= FEWEST else None
    running, waiting = _at_once(requests, spans) if seconds else (None, None)
    if running is None and in_flight is not None:
        running = float(in_flight)
    steps = [request.step_s for request in requests if request.step_s]
    return Observation(
        source=source,
        mix=mix_of([(r.input_tokens, r.output_tokens) for r in requests]),
        input_tokens=fmean(r.input_tokens for r in requests),
        output_tokens=fmean(r.output_tokens for r in requests),
        requests=len(requests),
        running=running,
        waiting=waiting,
        requests_s=len(spans) / seconds if seconds else None,
        step_s=median(steps) if steps else None,
        seconds=seconds,
    )


def _at_once(requests: list[Logged], spans: list[Span]) -> tuple[float, float | None]:
    """Mean numbers of running and waiting requests; ``spans`` are those of all that have times.

    Those run whose first token has come. They are counted whenever a request ends: at such moments
    the server decodes, while at others a prefill may hold up those that run. What ends within a few
    steps ended together: a client sees the answers of one step one after the other.
    """
    loaded = _loaded(spans)
    flight = sum(span.seconds_of(loaded) for span in spans) / loaded.seconds
    firsts = sorted(first for request in requests if (first := request.first_s()) is not None)
    if len(firsts) < len(spans):
        return flight, None
    steps = [request.step_s for request in requests if request.step_s]
    spread = TOGETHER * median(steps) if steps else 0.0
    ends = sorted(span.end for span in spans)
    running = fmean(bisect_right(firsts, end) - bisect_left(ends, end - spread) for end in ends)
    running = min(running, flight)
    return running, flight - running


def _whole(spans: list[Span]) -> Span:
    return Span(min(span.begin for span in spans), max(span.end for span in spans))


def _loaded(spans: list[Span]) -> Span:
    """The part of a log that knows of all that was in flight: from the first end to the last begin.

    Before, a load may be growing; afterwards nothing new comes, or what came is not in the log
    because it had not ended. Where that part is short, as with requests that all came at once, the
    whole log counts.
    """
    whole = _whole(spans)
    loaded = Span(min(span.end for span in spans), max(span.begin for span in spans))
    return loaded if loaded.seconds >= LONG_ENOUGH * whole.seconds else whole


def _lines(file: BufferedReader) -> Iterator[str]:
    """The lines of ``file``; a longer one than any log has comes in pieces."""
    left = LARGEST_FILE
    while left > 0 and (line := file.readline(LARGEST_LINE)):
        left -= len(line)
        yield line.decode("utf-8", errors="replace")


def _requests(lines: Iterable[str]) -> Iterator[Logged]:
    documents = ((line, _object(line)) for line in lines)
    found = (_from_text(line) if o is None else _from_object(o) for line, o in documents)
    return islice((request for request in found if request is not None), MOST_REQUESTS)


def _object(line: str) -> dict[str, Any] | None:
    """The JSON object that ``line`` is, or that stands in it after a log prefix."""
    start = line.find("{")
    if start < 0:
        return None
    try:
        document = json.loads(line[start:])
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _from_object(document: Mapping[str, Any]) -> Logged | None:
    """A request of JSON Lines, or of SGLang's JSON log of finished requests."""
    if isinstance(out := document.get("out"), Mapping):
        meta = out.get("meta_info")
        document = {**(meta if isinstance(meta, Mapping) else {}), **_times(document)}
    inputs = _number(document, "input_tokens", "prompt_tokens")
    outputs = _number(document, "output_tokens", "completion_tokens")
    if inputs is None or outputs is None or inputs < 1 or outputs < 1:
        return None
    return Logged(
        input_tokens=int(inputs),
        output_tokens=int(outputs),
        arrival_s=_arrival(document),
        latency_s=_number(document, "latency_s", "e2e_latency"),
        ttft_s=_number(document, "ttft_s"),
        step_s=_number(document, "step_s"),
    )


def _times(document: Mapping[str, Any]) -> dict[str, Any]:
    """When SGLang's JSON log wrote a line: at the end of the request."""
    try:
        ended = datetime.fromisoformat(str(document.get("timestamp"))).timestamp()
    except ValueError:
        return {}
    return {"ended_s": ended}


def _arrival(document: Mapping[str, Any]) -> float | None:
    arrival = _number(document, "arrival_s")
    ended, latency = _number(document, "ended_s"), _number(document, "e2e_latency")
    if arrival is None and ended is not None and latency is not None:
        return ended - latency
    return arrival


def _from_text(line: str) -> Logged | None:
    """A request of SGLang's text log, which is the text of Python dictionaries."""
    if "Finish: obj=" not in line:
        return None
    meta = line[line.rfind("meta_info") :]  # behind the prompt, which may hold any text
    found = {
        name: match["value"]
        for name, pattern in _TEXT_FIELDS.items()
        if (match := pattern.search(meta))
    }
    stamp = _STAMP.search(line)
    ended = {"ended_s": datetime.fromisoformat(stamp[1]).timestamp()} if stamp else {}
    try:
        return _from_object({**{name: float(value) for name, value in found.items()}, **ended})
    except ValueError:
        return None


def _number(document: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = document.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value) if 0 <= value < LARGEST_NUMBER else None
    return None


def _bench_result(file: BufferedReader) -> list[Logged] | None:
    """The requests that the scenarios of a bench result ask for; None: it is none."""
    from pydantic import ValidationError

    from gemma4ctl.bench.document import KIND, BenchResult
    from gemma4ctl.bench.workload import lengths

    if f'"{KIND}"'.encode() not in file.peek(HEAD):
        return None
    try:
        result = BenchResult.model_validate_json(file.read(LARGEST_FILE).decode())
    except (ValidationError, UnicodeDecodeError):
        return None
    asked = [lengths(scenario.workload) for scenario in result.scenarios]
    return [Logged(*pair) for each in asked for pair in zip(*each, strict=True)]


def _refused(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"{path} is no log of requests: {problem}",
        needed='lines such as {"input_tokens": 1024, "output_tokens": 256, "arrival_s": 0.5}, '
        "SGLang's --log-requests, or a result of gemma4ctl bench",
        code="bad-request-log",
    )
