"""Stock and fused servers in turn, on a constructed SGLang."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gemma4ctl.bench.workload import Workload
from tests.waiting import PATIENCE_S

Script = Callable[[str], ModuleType]
CHILD = ("--variants", "E2B", "--child", "--gpus", "0")
ONE = (*CHILD, "--contenders", "stock", "fused")


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
    assert "'gemma4ctl'" in (tmp_path / "logs" / "E2B-fused-0.log").read_text()
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
    # each is held back until the one before has ended
    assert all(server["held"] for server in found["servers"])
    left = [file.suffix for file in (tmp_path / "logs").iterdir()]
    assert not {".pid", ".go", ".waiting"} & set(left)


def test_a_server_that_is_held_back_is_ended_where_it_is_not_needed(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(model.servers, "fitting", lambda *_: 1)

    def no_time(*_: Any) -> None:
        raise model.OutOfTimeError("round 1")

    monkeypatch.setattr(model.Match, "measure", no_time)
    with pytest.raises(SystemExit, match="not everything"):
        model.main(machine(*ONE, "--measures", "c1", "--pairs", "3"))
    assert [server["contender"] for server in record(tmp_path)["servers"]] == ["stock"]
    assert (tmp_path / "logs" / "E2B-fused-0-2.log").exists()
    assert not list((tmp_path / "logs").glob("*.pid"))


def test_nothing_is_measured_while_another_imports(
    model: ModuleType, machine: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.servers, "fitting", lambda *_: 1)
    measure, waited = model.Match.measure, []

    def seen(match: Any, *given: Any) -> None:
        waited.append([server.waits() for server in match.held])
        measure(match, *given)

    monkeypatch.setattr(model.Match, "measure", seen)
    model.main(machine(*ONE, "--measures", "c1", "--pairs", "3"))
    assert waited == [[True] * count for count in (3, 2, 2, 1, 1, 0)]  # A, B B, A A, B


def test_a_contender_that_fails_leaves_the_others_and_its_log(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, script: Script,
) -> None:  # fmt: skip
    broken = script("servers").Contender("stock-compile", ("--broken",))
    monkeypatch.setitem(script("servers").CONTENDERS, "stock-compile", broken)
    asked = ("--contenders", "stock-compile", "fused", "--campaign", "tuned")
    with pytest.raises(SystemExit, match="not everything"):
        model.main(machine(*CHILD, "--measures", "c1", "--pairs", "1", *asked))
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


GRAPHS = (*CHILD, "--contenders", "stock", "fused", "fused-eager", "--pairs", "1")


def test_prefills_from_graphs_are_counted_and_compared(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model.main(machine(*GRAPHS, "--measures", "p64"))
    found = {run["contender"]: run["prefills"] for run in record(tmp_path)["runs"]}
    with_warm_up = {"from_graphs": 0, "others": 3}
    assert found["stock"] == found["fused-eager"] == with_warm_up
    assert found["fused"] == {"from_graphs": 3, "others": 0}
    model.main(["compare", str(tmp_path / "out"), str(tmp_path / "results")])
    assert "fused-eager" in capsys.readouterr().out
    result = json.loads((tmp_path / "results" / "E2B-H200-ttft-p64.json").read_text())
    (row,) = result["other_fused"].values()
    assert row["ratio"] == pytest.approx(row["fused"] / row["fused-eager"], abs=1e-3)


def test_a_prefill_without_the_graphs_it_was_to_come_from_is_no_result(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FAKE_FAULT", "eager")
    with pytest.raises(SystemExit, match="not everything"):
        model.main(machine(*GRAPHS, "--measures", "p64"))
    found = record(tmp_path)
    assert [run["contender"] for run in found["runs"]] == ["stock", "fused-eager"]
    (failure,) = found["failures"]
    assert failure["reason"] == "batches of prefill: 0 from CUDA graphs, 3 without"


THREE = ("--contenders", "stock", "fused", "stock-splits-16", "--pairs", "1")


def profiled(folder: Path) -> list[tuple[str, int]]:
    profiles = json.loads((folder / "out" / "profile-E2B-H200.json").read_text())["profiles"]
    return [(profile["contender"], profile["batch"]) for profile in profiles]


def test_where_all_fit_with_large_pools_they_are_started_once(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    model.main(machine(*CHILD, *THREE))
    found = record(tmp_path)
    assert rounds(found) == [
        (1, "stock", "c1"), (1, "stock", "c100"), (1, "fused", "c1"), (1, "fused", "c100"),
        (1, "stock-splits-16", "c1"),
    ]  # fmt: skip
    assert profiled(tmp_path) == [("stock", 1), ("stock", 100), ("fused", 1), ("fused", 100)]
    started = [server["contender"] for server in found["servers"]]
    assert started == ["stock", "fused", "stock-splits-16"]
    pools = {words[words.index("--max-total-tokens") + 1] for words in commands(found)}
    assert pools == {str(model.large_pool("E2B"))}


def test_where_not_all_fit_with_large_pools_they_are_started_anew_for_c100(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    large = model.size("E2B", model.large_pool("E2B"))
    monkeypatch.setattr(model.servers, "fitting", lambda _, size: 2 if size == large else 3)
    model.main(machine(*CHILD, *THREE))
    found = record(tmp_path)
    assert rounds(found) == [
        (1, "stock", "c1"), (1, "fused", "c1"), (1, "stock-splits-16", "c1"),
        (1, "stock", "c100"), (1, "fused", "c100"),
    ]  # fmt: skip
    assert profiled(tmp_path) == [("stock", 1), ("fused", 1)]
    started = [(server["contender"], server["cold"]) for server in found["servers"]]
    assert started == [
        ("stock", True), ("fused", True), ("stock-splits-16", True),
        ("stock", False), ("fused", False),
    ]  # fmt: skip
    pools = [words[words.index("--max-total-tokens") + 1] for words in commands(found)]
    assert pools == ["4096"] * 3 + [str(model.large_pool("E2B"))] * 2


def commands(found: dict[str, Any]) -> list[list[str]]:
    return [server["command"] for server in found["servers"]]


def test_contenders_that_do_not_fit_together_meet_in_groups(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(model.servers, "fitting", lambda *_: 2)
    asked = ("--contenders", "stock", "fused", "stock-splits-16", "stock-splits-4")
    model.main(machine(*CHILD, *asked, "--measures", "c1", "--pairs", "1"))
    found = record(tmp_path)
    assert rounds(found) == [
        (1, "stock", "c1"), (1, "fused", "c1"),
        (101, "fused", "c1"), (101, "stock-splits-16", "c1"),
        (201, "fused", "c1"), (201, "stock-splits-4", "c1"),
    ]  # fmt: skip
    kinds = ["stock", "fused", "stock-splits-16", "stock-splits-4"]
    assert [server["contender"] for server in found["servers"]] == kinds  # fused stays


@pytest.mark.parametrize("room", [1, 2])
def test_starts(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], room: int,
) -> None:  # fmt: skip
    """The first of each is cold and belongs to no pair."""
    monkeypatch.setattr(model.servers, "fitting", lambda *_: room)
    words = machine(*ONE, "--measures", "start", "--pairs", "2")
    model.main(words)
    found = record(tmp_path)
    assert [server["contender"] for server in found["servers"]] == ["stock", "fused"] * 3
    assert not found["runs"]
    model.main(words)
    assert record(tmp_path) == found
    model.main(["compare", str(tmp_path / "out"), str(tmp_path / "results")])
    result = json.loads((tmp_path / "results" / "E2B-H200-start-up.json").read_text())
    assert len(result["pairs"]) == 2 and "start-up" in capsys.readouterr().out


def test_groups(model: ModuleType) -> None:
    tuned = ["stock", "fused", "stock-splits-16", "stock-compile"]
    assert model.groups(tuned, 4) == [tuple(tuned)]
    three = [("stock", "stock-splits-16", "fused"), ("stock-compile", "fused")]
    assert model.groups(tuned, 3) == three
    pairs = [(name, "fused") for name in ("stock", "stock-splits-16", "stock-compile")]
    assert model.groups(tuned, 2) == model.groups(tuned, 1) == pairs


def test_a_round_is_begun_where_it_fits_by_what_the_call_has_measured(
    script: Script, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    model = script("model")
    args = model.parsed(machine(*ONE, "--measures", "c100", "--deadline", "170"))
    match = model.Match("31B", args, model.servers.Gpu(0, "NVIDIA H200", "", 143_771, 143_156))
    stock, fused = match.contenders
    todo = [(stock, "c100"), (fused, "c100")]
    assert match.round_seconds(todo) > 170  # two first starts
    match.record["servers"] = [
        {"session": match.session, "contender": name, "cold": False, "seconds_to_ready": 60.0}
        for name in ("stock", "fused")
    ]
    match.record["runs"] = [
        {"session": session, "contender": "fused", "measure": "c100", "figures": {"seconds": took}}
        for session, took in (("another", 99.0), (match.session, 20.0))
    ]
    assert match.round_seconds(todo) == pytest.approx(120 + 28 + 22)


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
    model.main(machine(*CHILD, "--measures", "c1", "--pairs", "1", *tuned))
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


def test_tuned_stock_of_a_campaign_of_its_own_is_added_to_the_result(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    """The rows of stock and fused stay those of their campaign."""
    measures = ("--variants", "E2B", "--measures", "c1", "--pairs", "1", "--contenders")
    compare = ["compare", str(tmp_path / "out"), str(tmp_path / "results")]
    model.main(machine(*measures, "stock", "fused"))
    model.main(compare)
    path = tmp_path / "results" / "E2B-H200-tpot-c1.json"
    before = json.loads(path.read_text())
    for file in (tmp_path / "out").glob("*.json"):
        file.unlink()  # another machine
    model.main(machine(*measures, "fused", "stock-compile", "--campaign", "tuned"))
    model.main(compare)
    after = json.loads(path.read_text())
    assert {key: after[key] for key in ("stock", "fused", "ratio", "pairs", "date")} == {
        key: before[key] for key in ("stock", "fused", "ratio", "pairs", "date")
    }
    assert after["runs"] == {**before["runs"], "stock-compile": after["runs"]["stock-compile"]}
    (pair,) = after["tuned_stock"]["stock-compile"]["pairs"]
    assert after["runs"]["stock-compile"] == [pair["stock-compile"]]
    assert "--enable-torch-compile" in after["commands"]["stock-compile"]
    assert set(before["tuned_stock"]) == set()


def test_a_result_is_of_the_campaigns_that_measured_it(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Also its commands: another campaign's servers had other pools."""
    for measure, campaign in (("c1", "main"), ("c100", "many")):
        words = (*ONE, "--measures", measure, "--pairs", "1", "--campaign", campaign)
        model.main(machine(*words))
        path = tmp_path / "out" / f"E2B-H200-{campaign}.json"
        record = json.loads(path.read_text())
        for server in record["servers"]:
            server["command"].append(campaign)
        path.write_text(json.dumps(record | {"model_module": campaign}))
    model.main(["compare", str(tmp_path / "out"), str(tmp_path / "results")])
    for metric, campaign in (("tpot-c1", "main"), ("output-throughput-c100", "many")):
        found = json.loads((tmp_path / "results" / f"E2B-H200-{metric}.json").read_text())
        assert found["model_module"] == campaign
        assert {words[-1] for words in found["commands"].values()} == {campaign}


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
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script("model").main(["estimate", "--memory", "139.8"])
    shown = capsys.readouterr().out.splitlines()
    names, seconds = zip(*(line.split(" about ") for line in shown if "about" in line), strict=True)
    assert [name.strip() for name in names] == ["31B", "26B-A4B", "12B", "E4B", "E2B"]
    assert all(300 < int(text.split()[0]) < 1_400 for text in seconds)
    assert shown[1].startswith("  c1, profile: stock, fused side by side, ")
    assert shown[2].startswith("  c100: stock, fused in turn, ")
    everything = "  c1, profile, c100: stock, fused, stock-splits-16, stock-compile side by side, "
    assert shown[-1].startswith(everything)


def test_tuned_stock_alone_has_c1_only(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    model = script("model")
    words = ["estimate", "--memory", "139.8", "--contenders", "stock-compile", "--measures", "c100"]
    with pytest.raises(SystemExit):
        model.main(words)
    assert "c1 only" in capsys.readouterr().err
    model.main([*words, "c1", "--variants", "E2B"])
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("contender", ["stock", "fused"])
def test_starts_need_both(
    script: Script, capsys: pytest.CaptureFixture[str], contender: str
) -> None:
    """One alone makes no pair, however often it is started."""
    words = ["estimate", "--measures", "start", "--contenders", contender]
    with pytest.raises(SystemExit):
        script("model").main(words)
    assert "start takes stock and fused" in capsys.readouterr().err


def test_seconds_of_a_phase(model: ModuleType) -> None:
    both, takes = ("stock", "fused"), model.SECONDS["E2B"]
    beside = model.Phase(("c1",), both, 4_096, 2, 1)
    assert model.phase_seconds("E2B", beside, 3) == takes.start + 6 * takes.c1
    in_turn = beside._replace(room=1)  # A, B B, A A, B
    assert model.phase_seconds("E2B", in_turn, 3) == 4 * takes.start + 6 * takes.c1


@pytest.mark.parametrize("variant", ["E2B", "26B-A4B", "31B"])
def test_c100_fits_into_the_sliding_pool(script: Script, variant: str) -> None:
    model = script("model")
    load = model.workload(variant, "c100")
    held = load.concurrency * (load.input_tokens + load.output_tokens)
    assert held < 0.8 * model.large_pool(variant)
    size = model.size(variant, model.large_pool(variant))
    assert size.weights + size.pool + model.servers.RUNTIME_GIB < 138


def test_workloads_have_the_lengths_that_are_published(script: Script) -> None:
    one, many = (script("model").workload("E2B", name) for name in ("c1", "c100"))
    assert (one.input_tokens, one.output_tokens, one.requests, one.concurrency) == (610, 422, 6, 1)
    assert (many.input_tokens, many.output_tokens) == (512, 512)
    assert (many.requests, many.concurrency, many.range_ratio) == (100, 100, 1.0)


def run_of(contender: str, number: int, session: str, value: float) -> dict[str, Any]:
    return {
        "contender": contender, "round": number, "session": session, "measure": "c1", "failed": 0,
        "retractions": 0, "figures": {"tpot_ms.mean": value},
    }  # fmt: skip


def test_a_pair_is_of_one_session(script: Script) -> None:
    results = script("results")
    runs = [run_of("stock", 1, "a", 4.0), run_of("fused", 1, "b", 2.0)]
    assert not results.complete(runs, 1, [("stock", "c1"), ("fused", "c1")])
    found = {"runs": runs, "servers": []}
    assert results.compared(found, results.METRICS["tpot-c1"], "stock") is None
    runs.append(run_of("stock", 1, "b", 3.0))
    assert results.complete(runs, 1, [("stock", "c1"), ("fused", "c1")])
    row = results.compared(found, results.METRICS["tpot-c1"], "stock")
    assert (row["stock"], row["fused"], row["ratio"]) == (3.0, 2.0, 1.5)


def test_runs_with_failed_requests_do_not_count_and_are_made_again(script: Script) -> None:
    results = script("results")
    runs = [run_of("stock", 1, "a", 4.0), {**run_of("fused", 1, "a", 2.0), "failed": 1}]
    assert not results.complete(runs, 1, [("stock", "c1"), ("fused", "c1")])
    metric = results.METRICS["tpot-c1"]
    assert results.compared({"runs": runs, "servers": []}, metric, "stock") is None


def start_of(
    contender: str, seconds: float, *beside: str, session: str = "a", cold: bool = False
) -> dict[str, Any]:
    return {
        "contender": contender, "session": session, "cold": cold, "beside": list(beside),
        "seconds_to_ready": seconds,
    }  # fmt: skip


def test_starts_under_equal_conditions_are_pairs(script: Script) -> None:
    results = script("results")
    first = [start_of("stock", 66.0, cold=True), start_of("fused", 58.0, cold=True)]
    alone = [start_of("stock", 62.0), start_of("fused", 60.0), start_of("stock", 61.0)]
    beside = [start_of("stock", 70.0, "fused"), start_of("fused", 71.0, "stock")]
    unequal = [
        start_of("fused", 90.0, "stock-splits-16"), start_of("stock", 50.0, session="b"),
        start_of("fused", 51.0, "stock", session="b"), start_of("stock", 65.0, session="c"),
        start_of("fused", 99.0, session="c", cold=True),
        {**start_of("fused", 20.0, session="c"), "held": True},
    ]  # fmt: skip
    starts = [*first, *alone, *beside, *unequal]
    assert results.start_pairs(starts, "stock") == {("a", 1): (62.0, 60.0), ("a", 2): (70.0, 71.0)}
    assert results.start_pairs(starts, "stock", cold=True) == {("a", 1): (66.0, 58.0)}


def campaign(name: str, servers: list[dict[str, Any]], *runs: dict[str, Any]) -> dict[str, Any]:
    """A record of ``model.py``, its name in place of the module's digest."""
    for server in servers:
        server |= {"command": [name], "announced": ["kernels: fused"]}
    return {
        "variant": "12B", "gpu": "H200", "model_module": name, "date": name, "runs": list(runs),
        "servers": servers, "failures": [],
    }  # fmt: skip


def both(session: str, **options: bool) -> list[dict[str, Any]]:
    return [start_of(kind, 50.0, session=session, **options) for kind in ("stock", "fused")]


def test_start_up_is_of_the_campaign_for_it(script: Script) -> None:
    """Others' servers come up beside other loads; without one, theirs have to do."""
    results = script("results")
    metric = results.METRICS["start-up"]
    loaded = campaign("many", both("m"), run_of("stock", 1, "m", 4.0))
    servers = [*both("s"), start_of("stock-splits-16", 50.0, session="s", cold=True)]
    alone = campaign("start", servers)
    found = results.latest(results.measuring([loaded, alone], metric), "start-up", None)
    assert [pair["session"] for pair in found["pairs"]] == ["s"]
    assert found["model_module"] == "start"
    assert found["commands"] == {"stock": ["start"], "fused": ["start"]}  # only those with runs
    unfinished = campaign("start", both("s", cold=True))  # first starts only
    ended = campaign("tuned", [])  # before its first run
    for others in ([], [unfinished], [ended]):
        found = results.latest(results.measuring([loaded, *others], metric), "start-up", None)
        assert [pair["session"] for pair in found["pairs"]] == ["m"]


def test_a_result_is_of_the_module_whose_pairs_it_has(script: Script) -> None:
    """Tuned stock met fused in other campaigns, perhaps of another module: each row says which."""
    results = script("results")
    main = campaign("main", both("m"), run_of("stock", 1, "m", 4.0), run_of("fused", 1, "m", 2.0))
    tuned = campaign(
        "tuned",
        [start_of("stock-compile", 50.0, session="t"), start_of("fused", 50.0, session="t")],
        *(run_of(kind, 1, "t", 3.0) for kind in ("stock-compile", "fused")),
    )
    for order in ([main, tuned], [tuned, main]):
        found = results.latest(order, "tpot-c1", None)
        assert (found["model_module"], found["ratio"]) == ("main", 2.0)
        assert found["commands"]["fused"] == ["main"] and found["runs"]["fused"] == [2.0]
        row = found["tuned_stock"]["stock-compile"]
        assert (row["model_module"], row["date"], row["ratio"]) == ("tuned", "tuned", 1.0)
        assert found["commands"]["stock-compile"] == ["tuned"]
    assert results.latest([tuned], "tpot-c1", None) is None


def test_servers_that_are_started_together_are_a_pair_of_start_up(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path, script: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model.main(machine(*ONE, "--measures", "c1", "--pairs", "1"))
    model.main(["compare", str(tmp_path / "out"), str(tmp_path / "results")])
    assert "1 pairs, not counted" in capsys.readouterr().out
    assert not (tmp_path / "results" / "E2B-H200-start-up.json").exists()
    model.main(machine(*ONE, "--measures", "c100", "--pairs", "1"))
    model.main(["compare", str(tmp_path / "out"), str(tmp_path / "results")])
    found = json.loads((tmp_path / "results" / "E2B-H200-start-up.json").read_text())
    assert (len(found["pairs"]), len(found["cold"]["pairs"])) == (1, 1)
    assert len(found["runs"]["stock"]) == 1


def test_servers_wait_for_themselves_only(
    model: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each is asked while the others are not ready, else the last one seems the slowest."""
    both = threading.Barrier(2, timeout=PATIENCE_S)
    real = model.servers.Server.must_be_ready

    def ready(server: Any, end: float) -> None:
        both.wait()
        real(server, end)

    monkeypatch.setattr(model.servers.Server, "must_be_ready", ready)
    model.main(machine(*ONE, "--measures", "c1", "--pairs", "1"))
    assert len(record(tmp_path)["servers"]) == 2


@pytest.mark.parametrize(
    ("measure", "judged", "other"), [("c1", "median", "mean"), ("c100", "mean", "median")]
)
def test_first_tokens_are_judged_by_the_median_and_of_a_burst_by_the_mean(
    script: Script, measure: str, judged: str, other: str
) -> None:
    results = script("results")
    figures = {"ttft_ms.median": 40.0, "ttft_ms.mean": 70.0}
    runs = [
        {
            **run_of(name, 1, "a", 1.0), "measure": measure, "figures": figures,
            "retractions": 3 * (name == "stock"),
        }
        for name in ("stock", "fused")
    ]  # fmt: skip
    about = ("gpu", "driver_version", "sglang_version", "torch_version", "triton_version",
             "gemma4ctl_version", "date")  # fmt: skip
    found = {**dict.fromkeys(about, ""), "variant": "E2B", "runs": runs, "servers": []}
    result = results.result(found, f"ttft-{measure}")
    assert (result["figure"], result["stock"]) == (
        f"ttft_ms.{judged}",
        figures[f"ttft_ms.{judged}"],
    )
    assert result[f"ttft_ms.{other}"]["stock"] == figures[f"ttft_ms.{other}"]
    assert result["retractions"] == {"stock": [3], "fused": [0]}


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
