"""The order of servers under load; SGLang is a stand-in, and no load is put on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.benchmarks.kernels.conftest import machine
from tests.ports import free_port

__all__ = ["machine"]


@pytest.fixture
def load(
    script: Callable[[str], ModuleType], machine: Any, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The script with two jobs, on a machine with one GPU."""
    module = script("load")
    monkeypatch.setattr(module, "JOBS", (("12B", "page"), ("12B", "long")))
    ports = {job: free_port() for job in ("page", "long")}
    monkeypatch.setattr(module, "port_of", lambda job: ports[job.plan])
    monkeypatch.setattr(module, "concurrency", lambda *_: 2)
    monkeypatch.setattr(module, "RELEASE_S", 0.0)

    def suggest(model: str, plan: str, *options: str) -> dict[str, Any]:
        broken = ["--broken"] if plan in getattr(module, "broken", ()) else []
        argv = ["sglang", "serve", "--port", str(ports[plan]), *broken]
        command = {"argv": argv, "env": {}}
        return {"command": command, "capacity": {}, "hardware": {"platform": "H200"}}

    monkeypatch.setattr(module, "suggest", suggest)
    return module


def run(load: ModuleType, out: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, list[Any]]:
    """Whether all was measured; for each load, its server and which servers were let go."""
    seen: list[Any] = []

    def put_under(name: str, server: Any, count: int, log: Path) -> dict[str, Any]:
        seen.append((log.stem, name, sorted(file.stem for file in out.glob("*.go"))))
        seen.append(sorted(file.stem for file in out.glob("*.log")))
        return {"output_tok_s": 1.0, "concurrency": count}

    monkeypatch.setattr(load, "put_under", put_under)
    out.mkdir(exist_ok=True)
    return load.run(Path("models"), out, 3600, [], [0]), seen


def test_a_server_starts_while_the_one_before_it_is_measured_and_waits(
    load: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, seen = run(load, tmp_path / "out", monkeypatch)
    assert complete
    loads, logs = seen[::2], seen[1::2]
    page = [("12B-page", name, ["12B-page"]) for name in ("long", "short", "mixed")]
    assert loads == [*page, ("12B-long", "long", ["12B-long"])]
    assert logs == [["12B-long", "12B-page"]] * 4
    assert not list((tmp_path / "out").glob("*.go"))
    record = json.loads((tmp_path / "out" / "12B-page.json").read_text())
    assert record["gpu"] and set(record["loads"]) == {"long", "short", "mixed"}


def test_a_server_that_ends_leaves_the_others(
    load: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(load, "broken", ["page"], raising=False)
    complete, seen = run(load, tmp_path / "out", monkeypatch)
    assert not complete and [one[0] for one in seen[::2]] == ["12B-long"]
    assert "12B-page not ready" in capsys.readouterr().out
    monkeypatch.setattr(load, "broken", [])
    complete, seen = run(load, tmp_path / "out", monkeypatch)
    assert complete and {one[0] for one in seen[::2]} == {"12B-page"}
