"""The file of results: written whole, read back, refused when it is something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemma4ctl.bench import document
from gemma4ctl.bench.document import Hardware, Planned
from gemma4ctl.bench.summary import Spread
from gemma4ctl.errors import UsageError
from tests.bench.results import result, scenario, summary


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    plan = Planned(plan_hash="ab", checkpoint="bf16", argv=("sglang", "serve"))
    hardware = Hardware(platform="H200", gpu_count=1, source="plan")
    written = result(scenario(1.0, 2.0), plan=plan, hardware=hardware)
    document.write(written, path)
    assert document.content(document.read(path)) == document.content(written)
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_numbers_are_rounded(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    document.write(result(scenario(1 / 3)), path)
    (found,) = json.loads(path.read_text())["scenarios"]
    assert found["runs"][0]["summary"]["seconds"] == 0.3333
    assert found["spread"]["seconds"]["mean"] == 0.3333


def test_it_begins_with_what_it_is(tmp_path: Path) -> None:
    content = document.content(result())
    assert list(content)[:2] == ["kind", "schema_version"]
    assert (content["kind"], content["schema_version"]) == ("gemma4ctl-bench", 1)


def test_it_replaces_its_own_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    document.write(result(complete=False), path)
    document.write(result(), path)
    assert document.read(path).complete
    path.write_text("mine")
    with pytest.raises(UsageError, match="was not written by gemma4ctl"):
        document.write(result(), path)
    document.write(result(), path, force=True)
    assert document.read(path).complete


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no results"),
        (b"{}", "holds no results"),
        (b"[]", "holds no results"),
        (b"\xff", "is no text"),
        (b'{"kind": "gemma4ctl-plan", "schema_version": 1}', "holds no results"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=problem) as refused:
        document.read(path)
    assert "gemma4ctl bench -o FILE" in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        document.read(tmp_path / "none.json")


def test_whole_runs_and_scenarios_by_name() -> None:
    runs = (scenario(1.0).runs[0], scenario(2.0).runs[0].model_copy(update={"interrupted": True}))
    partly = scenario().model_copy(update={"runs": runs})
    assert partly.whole == runs[:1]
    found = result(scenario(1.0), scenario(2.0, name="text-c100"))
    assert found.scenario("text-c100") == found.scenarios[1]
    assert found.scenario("image-c1") is None


def test_the_spread_of_runs() -> None:
    found = scenario(1.0, 3.0).spread["seconds"]
    assert (found.mean, found.min, found.max) == (2.0, 1.0, 3.0)
    assert isinstance(found, Spread)
    assert summary(failed=2).failures == 2
