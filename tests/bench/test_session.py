"""Sessions: repetition, results kept after every run, interruption, both clients."""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemma4ctl.bench import session, sglang_serving
from gemma4ctl.bench.document import BenchResult
from gemma4ctl.bench.progress import Lines
from gemma4ctl.bench.session import AT_ONCE, NOT_FLUSHED, Way
from gemma4ctl.bench.workload import SCENARIOS, Workload
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import ProblemsFoundError
from tests.bench import streams
from tests.bench.results import result
from tests.endpoint.server import Answers, Handler, fixed, serving

STAND_IN = Path(__file__).with_name("bench_serving_output.py")
ONE = Workload(name="one", input_tokens=4, output_tokens=3, requests=2, concurrency=1)
TWO = ONE.model_copy(update={"name": "two", "concurrency": 2})
WANTED = [(ONE, "generate"), (TWO, "generate")]


class Kept(list[BenchResult]):
    """What was kept after each run."""

    @property
    def runs(self) -> list[tuple[int, ...]]:
        return [tuple(len(scenario.runs) for scenario in found.scenarios) for found in self]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def shown() -> Lines:
    return Lines(io.StringIO())


@pytest.fixture
def url() -> Iterator[str]:
    answers: dict[str, Answers] = {
        "/generate": streams.streaming(streams.generating),
        "/flush_cache": fixed(b""),
    }
    with serving(answers) as found:
        yield found


def test_every_scenario_as_often_as_asked(url: str, kept: Kept, shown: Lines) -> None:
    way = Way(Endpoint(url), "m", repeat=2)
    found = session.run(way, WANTED, result(complete=False), keep=kept.append, display=shown)  # type: ignore[arg-type]
    assert kept.runs == [(1,), (2,), (2, 1), (2, 2), (2, 2)]
    assert [each.complete for each in kept] == [False] * 4 + [True]
    assert found == kept[-1]
    assert [scenario.workload for scenario in found.scenarios] == [ONE, TWO]
    assert {(each.client, each.api, each.notes) for each in found.scenarios} == {
        ("builtin", "generate", ())
    }
    for scenario in found.scenarios:
        rates = [run.summary.output_throughput for run in scenario.runs]
        assert scenario.spread["output_throughput"].max == max(rates)
        assert scenario.spread["output_throughput"].mean == pytest.approx(sum(rates) / 2)


def test_the_published_load_at_once_says_how_it_was_measured(
    url: str, kept: Kept, shown: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = TWO.model_copy(update={"name": "published"})
    monkeypatch.setitem(SCENARIOS, "published", published)
    way, wanted = Way(Endpoint(url), "m"), [(published, "generate"), (TWO, "generate")]
    found = session.run(way, wanted, result(), keep=kept.append, display=shown)  # type: ignore[arg-type]
    assert [AT_ONCE in each.notes for each in found.scenarios] == [True, False]


def test_each_run_has_contents_of_its_own(kept: Kept, shown: Lines) -> None:
    seen: list[tuple[int, ...]] = []

    def generate(handler: Handler) -> None:
        seen.append(tuple(streams.asked(handler)["input_ids"]))
        streams.streaming(streams.generating)(handler)

    load = ONE.model_copy(update={"input_tokens": 20, "range_ratio": 1.0})
    with serving({"/generate": generate}) as url:
        way = Way(Endpoint(url), "m", repeat=2, warmup=0)
        found = session.run(way, [(load, "generate")], result(), keep=kept.append, display=shown)
    assert len(set(seen)) == len(seen) == 4
    assert found.scenarios[0].notes == (NOT_FLUSHED,)


def test_an_interruption_keeps_the_part(kept: Kept, shown: Lines) -> None:
    asked: list[int] = []

    def generate(handler: Handler) -> None:
        asked.append(1)
        if len(asked) == 4:  # the second request of the second run
            os.kill(os.getpid(), signal.SIGINT)
            streams.hanging(0.3)(handler)
        streams.streaming(streams.generating)(handler)

    with serving({"/generate": generate, "/flush_cache": fixed(b"")}) as url:
        way = Way(Endpoint(url), "m", repeat=3, warmup=0)
        found = session.run(way, WANTED, result(complete=False), keep=kept.append, display=shown)  # type: ignore[arg-type]
    assert not found.complete
    assert kept.runs == [(1,), (2,)]
    first, second = found.scenarios[0].runs
    assert (first.interrupted, second.interrupted) == (False, True)
    assert (second.summary.completed, second.summary.failed) == (1, {"cancelled": 1})
    assert found.scenarios[0].spread["completed"].mean == 2  # of whole runs only


def test_an_interruption_between_runs(
    url: str, kept: Kept, shown: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.measure, "measure", interrupt)
    before = result(complete=False)
    found = session.run(Way(Endpoint(url), "m"), WANTED, before, keep=kept.append, display=shown)  # type: ignore[arg-type]
    assert (found, kept) == (before, [])


def test_a_failure_leaves_what_was_kept(kept: Kept, shown: Lines) -> None:
    asked: list[int] = []

    def generate(handler: Handler) -> None:
        asked.append(1)
        answer = streams.streaming(streams.generating) if len(asked) < 4 else fixed(b"", status=503)
        answer(handler)

    with serving({"/generate": generate, "/flush_cache": fixed(b"")}) as url:
        way = Way(Endpoint(url), "m", repeat=2)
        with pytest.raises(ProblemsFoundError):
            session.run(way, WANTED, result(complete=False), keep=kept.append, display=shown)  # type: ignore[arg-type]
    assert kept.runs == [(1,)]
    assert not kept[-1].complete


def test_as_many_warm_up_requests_as_run_at_once(kept: Kept, shown: Lines) -> None:
    asked: list[int] = []

    def generate(handler: Handler) -> None:
        asked.append(1)
        streams.streaming(streams.generating)(handler)

    load = ONE.model_copy(update={"concurrency": 5, "requests": 1})
    with serving({"/generate": generate, "/flush_cache": fixed(b"")}) as url:
        session.run(
            Way(Endpoint(url), "m"), [(load, "generate")], result(), keep=kept.append, display=shown
        )
    assert len(asked) == 5 + 1


def test_sglangs_own_client(tmp_path: Path, kept: Kept, shown: Lines) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    way = Way(Endpoint("http://127.0.0.1:9"), "m", python=str(python), repeat=2)
    found = session.run(way, WANTED[:1], result(), keep=kept.append, display=shown)  # type: ignore[arg-type]
    (scenario,) = found.scenarios
    assert (scenario.client, len(scenario.runs)) == ("sglang", 2)
    assert "sglang.bench_serving" in scenario.command
    assert scenario.notes == sglang_serving.notes(ONE, None)
    assert scenario.spread["tpot_ms.mean"].mean == 1.0
