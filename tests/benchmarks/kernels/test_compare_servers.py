"""The verdicts over records of servers; the records are constructed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.certifying.answers import NOISE, answers

MACHINE = {"gpu": "NVIDIA H200", "driver_version": "580.1", "sglang_version": "0.5.16",
           "torch_version": "2", "triton_version": "3", "gemma4ctl_version": "0.1.0"}  # fmt: skip
FUSED = ["[time] gemma4ctl 0.1.0 kernels: fused, Gemma4ForConditionalGeneration, 35 layers: norms"]


@pytest.fixture
def compare(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("compare_servers")


def record(folder: Path, name: str, announced: list[str], **more: Any) -> None:
    right = {"stock": (1, 0.0), "fused": (3, 0.0), "fused-eager": (3, 0.0)}
    seed, mean = right.get(name, (4, 0.5))
    rows = {
        kind: [sample.model_dump(mode="json") for sample in answers(own, noise=NOISE, mean=mean)]
        for kind, own in (
            ("alone", seed), ("together", seed + 10),
            ("crowd", seed + 20), ("crowd_again", seed + 30),
        )
    }  # fmt: skip
    about = {"case": "E2B", "variant": "E2B", "contender": name, "expert_load": None}
    command = ["sglang", "serve", "--model-path", "/home/user/models/E2B-it"]
    prefills = {"from_graphs": 50, "others": 30}
    made = {"date": "2026-01-02", "command": command, "announced": announced, "prefills": prefills}
    document = {**MACHINE, **about, **made, **more, **rows}
    (folder / f"E2B-{name}.json").write_text(json.dumps(document))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    record(tmp_path, "stock", [])
    record(tmp_path, "fused", FUSED)
    record(tmp_path, "broken-slot", FUSED)
    return tmp_path


def test_fused_passes_and_broken_is_refused(
    compare: ModuleType, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main(["judge", str(out)]) == 0
    said = capsys.readouterr().out
    for kind in ("alone", "together", "crowd"):
        assert f"E2B {kind} fused: mean 0.0" in said and "passed: right" in said
        assert f"E2B {kind} broken-slot" in said and "refused: right" in said


def test_all_figures_are_written(compare: ModuleType, out: Path, tmp_path: Path) -> None:
    file = tmp_path / "results" / "answers-H200.json"
    assert compare.main(["judge", str(out), "--out", str(file)]) == 0
    document = json.loads(file.read_text())
    assert {key: document[key] for key in MACHINE} == MACHINE
    assert (document["date"], document["passed"]) == ("2026-01-02", True)
    (case,) = document["cases"]
    assert case["stock"]["command"][-1] == "/redacted/E2B-it"
    assert [server["contender"] for server in case["servers"]] == ["fused", "broken-slot"]
    for server, passed in zip(case["servers"], (True, False), strict=True):
        assert server["right"] and server["kernels_active"] and server["announced"] == FUSED
        assert set(server["comparisons"]) == {"alone", "together", "crowd"}
        for found in server["comparisons"].values():
            assert found["passed"] == passed == (not found["problems"])
            assert found["prompts"] == 66 and found["noise"]["differ"] and found["fused"]["differ"]


def test_what_is_wrong_is_written_too(compare: ModuleType, out: Path, tmp_path: Path) -> None:
    (out / "E2B-fused.json").unlink()
    record(out, "fused", [])
    record(out, "stock", [], expert_load=3.5)
    file = tmp_path / "answers.json"
    assert compare.main(["judge", str(out), "--out", str(file)]) == 4
    document = json.loads(file.read_text())
    (case,) = document["cases"]
    assert not document["passed"] and not case["passed"] and not case["experts_even"]
    assert [server["right"] for server in case["servers"]] == [False, True]


def test_stock_alone_shows_nothing(compare: ModuleType, out: Path) -> None:
    for file in out.glob("E2B-[!s]*.json"):
        file.unlink()
    assert compare.main(["judge", str(out)]) == 4


def test_records_of_two_machines_are_not_one_comparison(compare: ModuleType, out: Path) -> None:
    record(out, "fused", FUSED, driver_version="590.1")
    with pytest.raises(SystemExit, match="one machine"):
        compare.main(["judge", str(out)])


def test_a_fused_server_that_is_wrong_fails(compare: ModuleType, out: Path) -> None:
    wrong = (out / "E2B-broken-slot.json").read_text().replace("broken-slot", "fused")
    (out / "E2B-fused.json").write_text(wrong)
    assert compare.main(["judge", str(out)]) == 4


def test_a_broken_one_that_passes_fails(
    compare: ModuleType, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison would see nothing."""
    right = (
        (out / "E2B-fused.json")
        .read_text()
        .replace('"contender": "fused"', '"contender": "broken-slot"')
    )
    (out / "E2B-broken-slot.json").write_text(right)
    assert compare.main(["judge", str(out)]) == 4
    assert "passed: WRONG" in capsys.readouterr().out


def test_a_server_without_the_kernels_proves_nothing(
    compare: ModuleType, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(out, "fused", [FUSED[0].replace("fused", "stock")])
    assert compare.main(["judge", str(out)]) == 4
    assert "did not run the kernels" in capsys.readouterr().out


@pytest.mark.parametrize(("from_graphs", "status"), [(50, 0), (3, 4)])
def test_a_server_without_the_graphs_proves_nothing_of_them(
    compare: ModuleType,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    from_graphs: int,
    status: int,
) -> None:
    prefills = {"from_graphs": from_graphs, "others": 30}
    record(out, "fused", FUSED, prefills=prefills)
    assert compare.main(["judge", str(out)]) == status
    assert ("or the graphs" in capsys.readouterr().out) is bool(status)


@pytest.mark.parametrize(("load", "status"), [(2.0, 0), (3.5, 4)])
def test_experts_must_be_used_evenly(
    compare: ModuleType, out: Path, load: float, status: int
) -> None:
    record(out, "stock", [], expert_load=load)
    assert compare.main(["judge", str(out)]) == status


def test_every_control_is_a_contender_of_its_own(compare: ModuleType) -> None:
    kinds = [c.environment for name, c in compare.CONTENDERS.items() if name.startswith("broken")]
    assert [kind["BROKEN"] for kind in kinds] == ["residual", "scalar", "slot"]
    assert {kind["SGLANG_EXTERNAL_MODEL_PACKAGE"] for kind in kinds} == {"broken"}


def test_all_servers_of_a_case_run_side_by_side(
    compare: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(compare, "LONGEST", 40)
    assert compare.main(machine("--cases", "E2B")) == 0
    found = sorted(path.stem for path in (tmp_path / "out").glob("*.json"))
    assert found == [
        "E2B-broken-residual", "E2B-broken-scalar", "E2B-broken-slot", "E2B-fused", "E2B-stock",
    ]  # fmt: skip
    assert compare.main(["judge", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "69 of 69 same texts" in shown
    assert shown.count(": right") == 4 * 3
    assert "128 of 128 same texts" in shown
    stock = json.loads((tmp_path / "out" / "E2B-stock.json").read_text())
    assert "--max-total-tokens" in stock["command"]


def test_servers_that_prefill_from_graphs_are_judged(
    compare: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(compare, "LONGEST", 40)
    contenders = ("--contenders", "stock", "fused")
    assert compare.main(machine("--cases", "E2B", *contenders)) == 0
    assert compare.main(["judge", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count("fused: mean") == 3
    (found,) = (tmp_path / "out").glob("*-fused.json")
    made = json.loads(found.read_text())
    assert made["prefills"]["from_graphs"] > 300
    assert "--chunked-prefill-size" in made["command"]


def test_a_server_that_does_not_start_leaves_the_others(
    compare: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(compare, "LONGEST", 4)
    broken = compare.CONTENDERS["fused"].__class__("fused", ("--broken",))
    monkeypatch.setitem(compare.CONTENDERS, "fused", broken)
    assert compare.main(machine("--cases", "E2B", "--contenders", "stock", "fused")) == 1
    assert [path.stem for path in (tmp_path / "out").glob("*.json")] == ["E2B-stock"]
    assert "OutOfMemoryError" in capsys.readouterr().out


def test_the_flags_of_the_cases(compare: ModuleType) -> None:
    models = Path("/models")
    assert compare.CASES["E2B"].flags(models) == []
    assert "/models/12B-it-assistant" in compare.CASES["12B-mtp"].flags(models)
    assert compare.CASES["31B-tp2"].flags(models) == ["--tp-size", "2"]
    assert compare.contenders_of(compare.CASES["12B"], []) == ["stock", "fused"]
    assert len(compare.contenders_of(compare.CASES["26B-A4B"], [])) == 5


def test_two_gpus_are_visible_to_a_server_on_two(
    compare: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, script: Callable[[str], ModuleType],
) -> None:  # fmt: skip
    monkeypatch.setattr(compare, "LONGEST", 4)
    servers = script("servers")
    one = servers.gpus()[0]
    monkeypatch.setattr(servers, "gpus", lambda: [one, one._replace(index=1)])
    assert compare.main(machine("--cases", "E2B-tp2")) == 0
    record = json.loads((tmp_path / "out" / "E2B-tp2-fused.json").read_text())
    assert "CUDA_VISIBLE_DEVICES=0,1" in record["command"]
    assert record["command"][-2:] == ["--tp-size", "2"]
