from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.capacity.workload import Share
from gemma4ctl.errors import UsageError
from gemma4ctl.replanning import requestlog
from gemma4ctl.replanning.requestlog import Logged, observe, read


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
    return path


def test_json_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path / "log",
        {"input_tokens": 100, "output_tokens": 20, "arrival_s": 1.0, "latency_s": 4.0},
        {"prompt_tokens": 300, "completion_tokens": 40},
        "not JSON",
        {"something": "else"},
        {"input_tokens": 0, "output_tokens": 5},
        [1, 2],
    )
    assert read(path) == [Logged(100, 20, 1.0, 4.0), Logged(300, 40)]


# constructed from the sources of SGLang 0.5.16: utils/request_logger.py, utils/log_utils.py
SGLANG_JSON = {
    "timestamp": "2026-11-22T03:00:10.500000",
    "event": "request.finished",
    "rid": "1",
    "obj": {"rid": "1", "stream": True},
    "out": {"meta_info": {"prompt_tokens": 7, "completion_tokens": 9, "e2e_latency": 2.5}},
}
SGLANG_TEXT = (
    "[2026-11-22 03:00:10] Finish: obj=GenerateReqInput(text=\"say 'prompt_tokens': 999\", rid='1')"
    ", out={'text': 'w', 'meta_info': {'id': '1', 'finish_reason': {'type': 'length'}, "
    "'prompt_tokens': 7, 'completion_tokens': 9, 'e2e_latency': 2.5}}"
)


@pytest.mark.parametrize("line", [SGLANG_JSON, SGLANG_TEXT])
def test_sglangs_own_log(tmp_path: Path, line: Any) -> None:
    received = {"event": "request.received", "obj": {"input_tokens": "no"}}
    path = written(tmp_path / "log", received, line, "[2026-11-22 03:00:10] Finish: obj=cut")
    (found,) = read(path)
    assert found[:2] == (7, 9)
    assert found.latency_s == 2.5
    assert found.arrival_s is not None and found.arrival_s % 60 == pytest.approx(7.75, abs=0.26)


def test_a_bench_result(tmp_path: Path) -> None:
    from gemma4ctl.bench.document import BenchResult, Scenario, Served
    from gemma4ctl.bench.workload import SCENARIOS

    scenario = Scenario(workload=SCENARIOS["text-c1"], client="builtin", api="generate")
    result = BenchResult(
        gemma4ctl_version="1",
        date="2026-11-22",
        command=(),
        url="u",
        served=Served(model="m"),
        scenarios=(scenario,),
    )
    path = tmp_path / "bench.json"
    path.write_text(result.model_dump_json())
    found = read(path)
    assert len(found) == 10  # the page's totals
    assert sum(r.input_tokens for r in found) == 6101
    assert sum(r.output_tokens for r in found) == 4220


@pytest.mark.parametrize(
    "text", ["", "nothing\n", '{"kind": "gemma4ctl-bench"}\n', '{"input_tokens": true}\n']
)
def test_no_requests(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no line of it tells of a finished request"):
        read(written(tmp_path / "log", text))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e308", "-4", "true", '"7"'])
def test_numbers_that_no_request_has_are_passed_over(tmp_path: Path, number: str) -> None:
    log = tmp_path / "log.jsonl"
    good = '{"input_tokens": 10, "output_tokens": 4}'
    bad = f'{{"input_tokens": 10, "output_tokens": {number}}}'
    timed = f'{{"input_tokens": 10, "output_tokens": 4, "arrival_s": {number}, "latency_s": 2}}'
    log.write_text(f"{good}\n{bad}\n{timed}\n")
    first, second = read(log)
    assert first == Logged(10, 4)
    assert second == Logged(10, 4, None, 2.0)


def test_a_file_without_an_end_is_read_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requestlog, "LARGEST_FILE", 1 << 22)
    monkeypatch.setattr(requestlog, "LARGEST_LINE", 1 << 20)
    with pytest.raises(UsageError, match="no line of it tells"):
        read(Path("/dev/zero"))


def test_a_log_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines = '{"input_tokens": 10, "output_tokens": 4}\n' * 300  # more than one buffer
    writer = threading.Thread(target=pipe.write_text, args=(lines,))
    writer.start()
    assert len(read(pipe)) == 300
    writer.join()


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "missing")


def test_prompts_and_answers_are_told_apart() -> None:
    assert observe([Logged(100, 20)] * 3, "log").mix == (Share(120, 1.0, 20),)


def test_a_closed_loop_of_four() -> None:
    """Four clients; a request takes 10 s, 4 of them for tokens, and each 2.5 s one ends."""
    requests = [
        Logged(1000, 100, arrival_s=2.5 * place, latency_s=10.0, ttft_s=6.0, step_s=0.04)
        for place in range(400)
    ]
    seen = observe(requests, "log")
    assert seen.in_flight == pytest.approx(4, rel=0.01)
    assert seen.running == pytest.approx(2, rel=0.01)  # one more decodes when one ends
    assert seen.requests_s == pytest.approx(0.4, rel=0.01)
    assert seen.step_s == 0.04


def test_times_without_first_tokens_give_what_is_in_flight() -> None:
    requests = [Logged(1000, 100, arrival_s=float(n), latency_s=5.0) for n in range(6)]
    seen = observe(requests, "log")
    assert (seen.running, seen.waiting) == (3.0, None)


def test_without_times_the_user_says_how_many_are_in_flight() -> None:
    seen = observe([Logged(1000, 100), Logged(3000, 300)], "log", in_flight=64)
    assert (seen.running, seen.waiting, seen.requests_s, seen.step_s) == (64.0, None, None, None)
    assert (seen.input_tokens, seen.output_tokens) == (2000, 200)
    assert observe([Logged(1000, 100)], "log").in_flight is None


def test_answers_of_one_step_ended_together() -> None:
    """A client sees them one after the other; 46 ran until then, not 23."""
    ends = [40.0 + n * 0.0008 for n in range(46)]
    log = [Logged(2_000, 1_500, 0.0, end, 1.0, 0.02) for end in ends]
    assert observe(log, "log").running == pytest.approx(46, rel=0.01)
    without = [each._replace(step_s=None) for each in log]
    assert observe(without, "log").running == pytest.approx(23.5)


def test_a_log_of_a_real_server() -> None:
    """192 requests in waves, on an H100: 47 to 60 ran at once by the server's own log.

    Captured by benchmarks/replan_replay.py, SGLang 0.5.16, 12B with random weights, 2026-11-22.
    """
    log = Path(__file__).parent / "captured" / "12B-H100.jsonl"
    found = observe(read(log), "log")
    assert (found.requests, found.input_tokens, found.output_tokens) == (192, 2_000, 1_500)
    assert found.running is not None and 50 < found.running < 60
    assert found.requests_s == pytest.approx(1.38, rel=0.01)


def test_a_log_with_a_ramp_and_a_tail() -> None:
    """256 requests in waves, 128 at once: 66 to 78 ran by the server's log, in the end only 33.

    Captured by benchmarks/replan_replay.py on an H200, as the H100's.
    """
    log = Path(__file__).parent / "captured" / "12B-H200.jsonl"
    found = observe(read(log), "log")
    assert found.in_flight == pytest.approx(128, rel=0.01)
    assert found.running is not None and 64 < found.running < 75
    assert found.requests_s == pytest.approx(1.46, rel=0.01)


def test_a_log_that_was_cut_out_of_a_longer_time() -> None:
    """A request a second, each takes 10 s: what had not ended at the cut is not in the log."""
    requests = [Logged(1000, 100, float(at), 10.0, 2.0, 0.08) for at in range(40)]
    seen = observe([each for each in requests if 10 <= (each.arrival_s or 0) <= 30], "log")
    assert seen.in_flight == pytest.approx(10, rel=0.01)
