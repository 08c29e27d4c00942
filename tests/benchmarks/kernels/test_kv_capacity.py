"""Pools and retractions of stock and shared KV, on a constructed SGLang."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Script = Callable[[str], ModuleType]


@pytest.fixture
def capacity(script: Script, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with a load of 1,280 tokens; the fake's pools hold 1,000 and 2,300."""
    module = script("kv_capacity")
    for name, value in (("REQUESTS", 8), ("TOKENS_IN", 60), ("TOKENS_OUT", 100)):
        monkeypatch.setattr(module, name, value)
    return module


def record(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "out" / "capacity-E2B-H200.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_shared_kv_holds_more_and_retracts_nothing(
    capacity: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = machine("--variants", "E2B")
    capacity.main(words)
    found = record(tmp_path)
    assert found["loads"]["stock"]["runs"][0]["retracted_requests"] == 3
    assert found["loads"]["shared-kv"]["runs"][1]["retractions"] == 0
    # what stock reported: 138.68 - 128.68 GB of weights, and 87% of 1,280 tokens
    tight, roomy = (found["fractions"][part] for part in ("loads", "roomy"))
    assert float(tight) == pytest.approx(10 / 138.68, abs=2e-3)
    assert float(tight) < float(roomy)
    loads = [*(found["loads"][kind] for kind in ("stock", "shared-kv")), found["roomy"]["stock"]]
    commands = [load["command"] for load in loads]
    shares = [words[words.index("--mem-fraction-static") + 1] for words in commands]
    assert shares == [tight, tight, roomy]
    capsys.readouterr()
    capacity.main(["compare", str(tmp_path / "out"), str(tmp_path / "results")])
    assert "1,000 -> 2,300 tokens, 2.300x, asked 2.2: reached" in capsys.readouterr().out
    result = json.loads((tmp_path / "results" / "capacity-E2B-H200-shared-kv.json").read_text())
    assert {"variant", "gpu", "sglang_version", "metric", "stock", "fused"} <= set(result)
    assert result["load"]["stock_and_ours"]["same"] == 1
    assert result["load"]["roomy_stock_and_ours"]["same"] == 1
    capacity.main(words)  # nothing is missing
    assert record(tmp_path) == found


def test_what_fails_is_recorded_and_tried_again(
    capacity: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FAKE_FAULT", "generate")
    with pytest.raises(SystemExit, match="not everything"):
        capacity.main(machine("--variants", "E2B"))
    failed = record(tmp_path)
    assert set(failed["pools"]) == {"stock", "shared-kv"}
    assert [one["part"] for one in failed["failures"]] == ["loads", "loads", "roomy"]
    assert "HTTP 500" in failed["failures"][0]["reason"]
    monkeypatch.delenv("FAKE_FAULT")
    capacity.main(machine("--variants", "E2B"))
    assert set(record(tmp_path)["loads"]) == {"stock", "shared-kv"}


def test_no_part_is_begun_without_time_for_it(
    capacity: ModuleType, machine: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="not everything"):
        capacity.main(machine("--variants", "E4B", "--deadline", "50"))
    assert "E4B stock pools no time" in capsys.readouterr().out


def test_a_server_waits_for_the_gpu_until_the_one_before_it_has_ended(
    capacity: ModuleType, machine: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = capacity.servers.Server
    real = {name: getattr(server, name) for name in ("__init__", "let_go", "stop")}
    seen: list[str] = []

    def noted(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **options: Any) -> Any:
            found = real[name](self, *args, **options)
            seen.append(f"{name} {self.log.stem.removeprefix('E2B-')}")
            return found

        return call

    for name in real:
        monkeypatch.setattr(server, name, noted(name))
    capacity.main(machine("--variants", "E2B"))
    assert seen == [
        "__init__ stock-pools", "__init__ shared-kv-pools",
        "let_go stock-pools", "stop stock-pools",
        "__init__ stock-loads", "let_go shared-kv-pools", "stop shared-kv-pools",
        "__init__ shared-kv-loads", "let_go stock-loads", "stop stock-loads",
        "__init__ stock-roomy", "let_go shared-kv-loads", "stop shared-kv-loads",
        "let_go stock-roomy", "stop stock-roomy",
    ]  # fmt: skip


def test_agreement(script: Script) -> None:
    capacity = script("kv_capacity")
    ours, theirs = [[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 9, 6]]
    found = capacity.agreement(ours, theirs)
    assert found == {"requests": 2, "same": 0.5, "prefix": 2.0, "first_tokens": 1.0}
    assert capacity.unpacked(capacity.packed(ours)) == ours
    assert capacity.common([1, 2], [1, 2, 3]) == 2
