"""Stock and fused servers in turn, on a constructed SGLang."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gemma4ctl.bench.workload import Workload

Script = Callable[[str], ModuleType]
ONE = ("--variants", "E2B", "--child", "--gpus", "0")


@pytest.fixture
def model(script: Script, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a load of a second."""
    module = script("model")
    load = Workload(
        name="c1", input_tokens=8, output_tokens=12, range_ratio=1.0, requests=2, concurrency=1
    )
    monkeypatch.setattr(module, "workload", lambda variant, name: load)
    return module


def record(folder: Path, campaign: str = "main") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / f"E2B-H200-{campaign}.json").read_text())
    return found


def say_tpot(folder: Path, campaign: str, figures: dict[str, float]) -> None:
    """Replace what was measured on this machine by the milliseconds of each contender."""
    found = record(folder, campaign)
    for run in found["runs"]:
        run["figures"]["tpot_ms.mean"] = figures[run["contender"]]
    (folder / "out" / f"E2B-H200-{campaign}.json").write_text(json.dumps(found))


def rounds(found: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(run["round"], run["contender"], run["measure"]) for run in found["runs"]]


def test_resident_servers_alternate_and_a_second_call_adds_nothing(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = machine(*ONE, "--measures", "c1", "--pairs", "2", flags=("--load-format", "dummy"))
    model.main(words)
    found = record(tmp_path)
    assert rounds(found) == [
        (1, "stock", "c1"), (1, "fused", "c1"), (2, "fused", "c1"), (2, "stock", "c1"),
    ]  # fmt: skip
    assert [server["contender"] for server in found["servers"]] == ["stock", "fused"]
    assert [server["beside"] for server in found["servers"]] == [["fused"], ["stock"]]
    assert "--max-total-tokens" in found["servers"][0]["command"]
    assert "dummy" in found["servers"][0]["command"]
    assert found["servers"][0]["full_layer_tokens"] == 1_000
    assert "kernels: fused" in found["servers"][1]["announced"][0]
    assert "plugins: ['gemma4ctl']" in (tmp_path / "logs" / "E2B-fused-0.log").read_text()
    model.main(words)
    assert record(tmp_path)["runs"] == found["runs"]


def test_servers_that_do_not_fit_together_are_started_in_turn(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(model.servers, "fitting", lambda *_: 1)
    model.main(machine(*ONE, "--measures", "c1", "--pairs", "3"))
    found = record(tmp_path)
    kinds = [run["contender"] for run in found["runs"]]
    assert kinds == ["stock", "fused", "fused", "stock", "stock", "fused"]
    assert [s["contender"] for s in found["servers"]] == ["stock", "fused", "stock", "fused"]
    assert [server["cold"] for server in found["servers"]] == [True, True, False, False]


def test_a_contender_that_fails_leaves_the_others_and_its_log(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, script: Script,
) -> None:  # fmt: skip
    broken = script("servers").Contender("stock-compile", ("--broken",))
    monkeypatch.setitem(script("servers").CONTENDERS, "stock-compile", broken)
    asked = ("--contenders", "stock-compile", "fused", "--campaign", "tuned")
    with pytest.raises(SystemExit, match="not everything"):
        model.main(machine(*ONE, "--measures", "c1", "--pairs", "1", *asked))
    found = record(tmp_path, "tuned")
    assert rounds(found) == [(1, "fused", "c1")]
    (failure,) = found["failures"]
    assert failure["reason"] == "it ended before it was ready"
    assert "OutOfMemoryError" in failure["log"][-1]
    assert not any("server_args" in text for text in failure["log"])


def test_a_pair_is_not_begun_without_time_for_all_of_it(
    model: ModuleType, machine: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="not everything"):
        model.main(machine(*ONE, "--deadline", "60"))
    assert "no time for round 1" in capsys.readouterr().out


def test_starts_count_warm_and_alone(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path, script: Script
) -> None:
    model.main(machine(*ONE, "--measures", "start", "--pairs", "2"))
    found = record(tmp_path)
    kinds = [server["contender"] for server in found["servers"]]
    assert kinds == ["stock", "fused"] * 3  # the first of each compiles
    assert len(script("results").warm_starts(found["servers"], "fused")) == 2
    assert script("results").result(found, "start-up")["pairs"][1]["round"] == 2


def test_a_profile_is_taken_of_the_servers_that_run(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    words = machine(*ONE, "--measures", "c1", "profile", "--pairs", "1")
    model.main(words)
    path = tmp_path / "out" / "profile-E2B-H200.json"
    found = json.loads(path.read_text())
    assert [profile["contender"] for profile in found["profiles"]] == ["stock", "fused"]
    assert len(record(tmp_path)["servers"]) == 2
    model.main(words)  # nothing is missing
    assert json.loads(path.read_text()) == found


def test_compare_names_what_is_reached_and_writes_results(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model.main(machine(*ONE, "--measures", "c1", "--pairs", "3"))
    tuned = ("--contenders", "fused", "stock-splits-16", "--campaign", "tuned")
    model.main(machine(*ONE, "--measures", "c1", "--pairs", "1", *tuned))
    for campaign in ("main", "tuned"):
        say_tpot(tmp_path, campaign, {"stock": 6.0, "stock-splits-16": 6.0, "fused": 2.0})
    capsys.readouterr()
    model.main(["compare", str(tmp_path / "out"), str(tmp_path / "results")])
    shown = capsys.readouterr().out
    assert "tpot-c1" in shown and ": reached" in shown and "stock-splits-16" in shown
    found = json.loads((tmp_path / "results" / "E2B-H200-tpot-c1.json").read_text())
    assert {"variant", "gpu", "sglang_version", "metric", "stock", "fused", "ratio"} <= set(found)
    assert (found["stock"], found["fused"], found["ratio"]) == (6.0, 2.0, 3.0)
    assert len(found["pairs"]) == len(found["runs"]["stock"]) == 3
    assert found["tuned_stock"]["stock-splits-16"]["ratio"] == 3.0
    assert "--triton-attention-num-kv-splits" in found["commands"]["stock-splits-16"]
    assert "GEMMA4CTL_SGLANG_KERNELS=fused" in found["commands"]["fused"]
    assert found["fused_kernels_active"] is True


def test_every_gpu_gets_a_process_of_its_own(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[list[str]] = []
    monkeypatch.setattr(model.subprocess, "run", recorder(asked, model.subprocess.run))
    model.main(machine("--variants", "E2B", "E4B", "--measures", "c1", flags=("--x", "1")))
    children = [words for words in asked if "run" in words]
    assert [words[words.index("--variants") + 1] for words in children] == ["E2B", "E4B"]
    parsed = model.parsed(children[0][2:])
    assert (parsed.child, parsed.gpus) == (True, [0])
    assert (parsed.measures, parsed.flags) == (["c1"], ["--x", "1"])


def recorder(asked: list[list[str]], real: Callable[..., Any]) -> Callable[..., Any]:
    """``subprocess.run`` that starts no script."""

    def run(words: list[str], **options: Any) -> Any:
        asked.append(words)
        return real(words if words[0] == "nvidia-smi" else ["true"], **options)

    return run


def test_what_fits_and_how_long_it_takes(
    model: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    model.main(["estimate", "--memory", "79"])
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in shown] == [
        ["31B", "1"], ["26B-A4B", "1"], ["12B", "1"], ["E4B", "2"], ["E2B", "4"],
    ]  # fmt: skip


def test_workloads_have_the_lengths_that_are_published(script: Script) -> None:
    one, many = (script("model").workload("E2B", name) for name in ("c1", "c100"))
    assert (one.input_tokens, one.output_tokens, one.requests, one.concurrency) == (610, 422, 6, 1)
    assert (many.input_tokens, many.output_tokens) == (512, 512)
    assert (many.requests, many.concurrency, many.range_ratio) == (300, 100, 1.0)


def run_of(contender: str, number: int, session: str, value: float) -> dict[str, Any]:
    return {
        "contender": contender, "round": number, "session": session, "measure": "c1", "failed": 0,
        "figures": {"tpot_ms.mean": value},
    }  # fmt: skip


def test_a_pair_is_of_one_session(script: Script) -> None:
    results = script("results")
    runs = [run_of("stock", 1, "a", 4.0), run_of("fused", 1, "b", 2.0)]
    assert not results.complete(runs, 1, ["stock", "fused"], ["c1"])
    found = {"runs": runs, "servers": []}
    assert results.compared(found, results.METRICS["tpot-c1"], "stock") is None
    runs.append(run_of("stock", 1, "b", 3.0))
    assert results.complete(runs, 1, ["stock", "fused"], ["c1"])
    row = results.compared(found, results.METRICS["tpot-c1"], "stock")
    assert (row["stock"], row["fused"], row["ratio"]) == (3.0, 2.0, 1.5)


def test_runs_with_failed_requests_do_not_count(script: Script) -> None:
    results = script("results")
    runs = [run_of("stock", 1, "a", 4.0), {**run_of("fused", 1, "a", 2.0), "failed": 1}]
    metric = results.METRICS["tpot-c1"]
    assert results.compared({"runs": runs, "servers": []}, metric, "stock") is None


@pytest.mark.parametrize(
    ("name", "variant", "target"),
    [
        ("tpot-c1", "E2B", 1.35), ("tpot-c1", "31B", 1.05), ("ttft-c1", "E2B", 0.97),
        ("output-throughput-c100", "26B-A4B", 1.05), ("output-throughput-c100", "12B", 0.99),
        ("start-up", "E4B", 1 / 1.1),
    ],
)  # fmt: skip
def test_targets(script: Script, name: str, variant: str, target: float) -> None:
    assert script("results").METRICS[name].target(variant) == target
