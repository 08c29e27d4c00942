"""The replay of requests: what is sent, what counts, what is kept; servers are stand-ins."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gemma4ctl.bench.client import Ran
from gemma4ctl.bench.record import Record
from gemma4ctl.endpoint.metrics import parse
from gemma4ctl.replanning.interval import Sample
from gemma4ctl.replanning.live import observe
from tests.bench.streams import answer, streaming, tokens_asked
from tests.endpoint.server import fixed, serving
from tests.replanning.seen import exposition
from tests.verify.replay import VARIANTS, recordings

METRICS = exposition(requests=20, prompts=(0, 0, 0, 20, 20), steps=(0, 0, 9, 9), decoded=4000)
GAIN = {"limit": {"name": "full pool"}, "changes": [], "gain": {"ratio": 1.5}}


@pytest.fixture
def replay(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("replan_replay")


def test_the_first_answers_are_cut_so_that_requests_do_not_end_in_waves(replay: ModuleType) -> None:
    prompts = replay.spread(replay.requests_of("8:100:1", 12), 4)
    assert [prompt.output_tokens for prompt in prompts] == [25, 50, 75, 100] + [100] * 8
    assert [prompt.token_ids for prompt in prompts] == [
        prompt.token_ids for prompt in replay.requests_of("8:100:1", 12)
    ]


def record(started: float, ended: float, tokens: int) -> Record:
    """A token at ``ended``, and the others evenly before it."""
    gap = (ended - started) / tokens
    times = array("d", [started + gap * (place + 1) for place in range(tokens)])
    return Record(0, started, ended, times, array("l", [1] * tokens), completion_tokens=tokens)


def test_ramp_and_tail_are_no_steady_throughput(replay: ModuleType) -> None:
    """Two at a time, 10 tokens a second each; nothing came for a while before, and after."""
    cut = [record(0, 4, 5), record(0, 5, 10)]
    rest = [record(4, 6, 20), record(5, 7, 20), record(6, 8, 20), record(7, 30, 20)]
    ran = Ran([*cut, *rest], 30.0)
    part = replay.steady_part(ran.records, 2)
    assert part == (5, 7)
    found = replay.figures(ran, part)
    assert found["steady_output_tok_s"] == pytest.approx(20, rel=0.05)
    assert found["output_tok_s"] == pytest.approx(95 / 30)


def test_a_run_whose_first_request_hangs_counts_whole(replay: ModuleType) -> None:
    records = [record(0, 40, 5), record(0, 5, 10), record(5, 7, 20)]
    assert replay.steady_part(records, 2) == (0.0, 40)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_kept_of_metrics_is_what_replan_reads(replay: ModuleType, variant: str) -> None:
    for text in (recordings(variant)["metrics"].body, METRICS):
        kept = replay.kept(text)
        assert len(kept) <= len(text)
        seen = observe([Sample(0.0, parse(text))], "x")
        assert observe([Sample(0.0, parse(kept))], "x") == seen


def test_metrics_are_kept_without_the_machine(replay: ModuleType) -> None:
    text = 'sglang:num_running_reqs{model_name="/srv/me/12B-it"} 3.0\nprocess_cpu 5.0\n'
    assert replay.kept(text) == 'sglang:num_running_reqs{model_name="/redacted/12B-it"} 3.0\n'


def test_both_runs_are_compared(
    replay: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "/generate": streaming(lambda handler: answer(tokens_asked(handler)), pause_s=0.005),
        "/flush_cache": fixed(b""),
        "/metrics": fixed(METRICS.encode()),
    }
    asked = []

    @contextmanager
    def server(args: Any, name: str, changed: list[str]) -> Iterator[list[str]]:
        (args.out / f"{name}.serve.json").write_text('{"sglang_version": "0.5.16"}')
        with serving(answers) as args.url:
            yield ["gemma4ctl", "serve", *changed]

    def replan(args: Any, file: str, *source: str) -> dict[str, Any]:
        asked.append(source)
        return GAIN | {"changes": [{"flag": "--max-running-requests", "after": "7"}]}

    patches = {"server": server, "replan": replan, "gpu_names": lambda: ["NVIDIA H200"] * 8}
    for name, patch in (patches | {"SAMPLE_S": 0.01}).items():
        monkeypatch.setattr(replay, name, patch)
    out = tmp_path / "out"
    words = ["/models", str(out), "--mix", "9:20:1", "--at-once", "2", "--requests", "12"]
    out.mkdir()
    result = replay.compared(replay.arguments(words))
    assert (result["gpu"], result["sglang"]) == (["NVIDIA H200"], "0.5.16")
    assert result["commands"]["replanned"][-2:] == ["--max-running-requests", "7"]
    assert result["predicted_gain"] == {"log": 1.5, "live": 1.5}
    for run in ("published", "replanned"):
        assert result[run]["failed"] == 0 and result[run]["retracted"] == 0
        assert result[run]["steady_output_tok_s"] > 0
        logged = (out / f"{run}.jsonl").read_text().splitlines()
        assert [json.loads(line)["output_tokens"] for line in logged] == [20] * 10
        assert replay.samples_of(out / f"{run}.metrics.gz")
    assert result["replayed_gain"] == pytest.approx(
        result["replanned"]["steady_output_tok_s"] / result["published"]["steady_output_tok_s"]
    )
    assert ("--requests", str(out / "published.jsonl")) in asked
    assert any(source[0] == "--url" for source in asked)


def test_too_few_requests_to_be_steady(
    replay: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        replay.arguments(["/models", "/out", "--at-once", "128", "--requests", "256"])
    assert "at least 3 times as many as --at-once" in capsys.readouterr().err
