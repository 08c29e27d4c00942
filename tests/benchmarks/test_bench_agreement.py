"""Which runs of both clients are made, and what is said of them; the clients are stand-ins."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gemma4ctl.bench.document import Served
from gemma4ctl.bench.measure import Measured
from gemma4ctl.bench.sglang_serving import Served as Ran
from gemma4ctl.bench.workload import Workload
from tests.bench.results import summary


class Clients:
    """Both clients: what they were asked, and what they say that it took."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []  # scenario, client, with token ids
        self.slower: dict[tuple[str, str], float] = {}  # seconds of a scenario and client, not 2
        self.failed = 0

    def builtin(self, server: object, load: Workload, **options: Any) -> Measured:
        self.asked.append((load.name, "builtin", True))
        seconds = self.slower.get((load.name, "builtin"), 2.0)
        return Measured(load, "now", summary(seconds, self.failed), (), True, False)

    def sglang(self, server: object, load: Workload, *, token_ids: bool, **options: Any) -> Ran:
        self.asked.append((load.name, "sglang", token_ids))
        return Ran("now", summary(self.slower.get((load.name, "sglang"), 2.0)), ())


@pytest.fixture
def clients() -> Clients:
    return Clients()


@pytest.fixture
def agreement(
    script: Callable[[str], ModuleType],
    clients: Clients,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ModuleType:
    """The script, without a server."""
    module = script("bench_agreement")
    monkeypatch.setattr(module, "python_of_sglang", lambda: "python")
    monkeypatch.setattr(module, "read_facts", lambda server: None)
    monkeypatch.setattr(module, "served", lambda facts, model: Served(model="/srv/x/E2B-it"))
    monkeypatch.setattr(module.measure, "measure", clients.builtin)
    monkeypatch.setattr(module.sglang_serving, "measure", clients.sglang)
    monkeypatch.setattr(sys, "argv", ["bench_agreement.py", "http://127.0.0.1:1", str(tmp_path)])
    return module


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bench_agreement.json").read_text())
    return found


def test_a_pair_of_all_that_is_judged_comes_first(agreement: ModuleType) -> None:
    asked = [(each.workload.name, pair, client) for each, pair, client in agreement.schedule([])]
    judged = [each.workload.name for each in agreement.MEETINGS if each.judged]
    assert [name for name, _, _ in asked[: 2 * len(judged) : 2]] == judged
    assert asked[:2] == [("first-token-ids", 0, "builtin"), ("first-token-ids", 0, "sglang")]
    assert asked[2 * len(judged) :][:2] == [
        ("first-token-ids", 1, "sglang"),
        ("first-token-ids", 1, "builtin"),
    ]
    assert asked[-1][0] == "first-token"


def test_the_same_is_sent_where_first_tokens_are_judged(
    agreement: ModuleType, clients: Clients
) -> None:
    agreement.main()
    ids = {name for name, client, token_ids in clients.asked if client == "sglang" and token_ids}
    judged = {each.workload.name for each in agreement.MEETINGS if "ttft_ms.mean" in each.judged}
    assert ids == judged == {"first-token-ids"}


def test_a_record_of_all(agreement: ModuleType, tmp_path: Path) -> None:
    assert agreement.main() == 0
    found = record(tmp_path)
    assert (found["passed"], found["missing"], found["outside"]) == (True, [], {})
    assert len(found["runs"]) == len(agreement.schedule([]))
    assert found["server"]["model"] == "/redacted/E2B-it"


def test_runs_that_are_there_are_not_repeated(
    agreement: ModuleType, clients: Clients, tmp_path: Path
) -> None:
    agreement.main()
    before = record(tmp_path)["runs"]
    kept = [each for each in before if (each["scenario"], each["pair"]) != ("text-c1", 0)]
    (tmp_path / "bench_agreement.json").write_text(json.dumps({"runs": kept}))
    clients.asked.clear()
    assert agreement.main() == 0
    assert clients.asked == [("text-c1", "builtin", True), ("text-c1", "sglang", False)]
    assert len(record(tmp_path)["runs"]) == len(before)


@pytest.mark.parametrize(("seconds", "status"), [(2.05, 0), (2.1, 1)])
def test_what_differs_by_more_than_the_limit(
    agreement: ModuleType, clients: Clients, tmp_path: Path, seconds: float, status: int
) -> None:
    clients.slower = {("text-c1", "builtin"): seconds, ("first-token", "sglang"): 9.0}
    assert agreement.main() == status
    found = record(tmp_path)
    assert found["passed"] is (status == 0)
    assert ("text-c1 tpot_ms.mean" in found["outside"]) is (status == 1)
    assert found["ratios"]["text-c1"]["ttft_ms.mean"] == round(seconds / 2, 4)
    assert not any("ttft" in name for name in found["outside"])  # of ten requests: not judged


def test_a_part_has_not_passed(
    agreement: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--only", "text-c1"])
    assert agreement.main() == 1
    missing = {name.partition(" ")[0] for name in record(tmp_path)["missing"]}
    assert missing == {"first-token-ids", "text-c16"}


def test_a_failed_request_is_no_pass(
    agreement: ModuleType, clients: Clients, tmp_path: Path
) -> None:
    clients.failed = 1
    assert agreement.main() == 1
    assert record(tmp_path)["outside"] == {}
