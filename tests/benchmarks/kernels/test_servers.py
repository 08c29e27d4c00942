"""Starting and ending servers, on a constructed SGLang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.waiting import PATIENCE_S, wait_until

Script = Callable[[str], ModuleType]


@pytest.fixture
def servers(script: Script, machine: Callable[..., list[str]]) -> ModuleType:
    return script("servers")


def place(servers: ModuleType, words: list[str], tmp_path: Path) -> Any:
    port = int(words[words.index("--port") + 1])
    return servers.Place(tmp_path / "E2B-it", servers.gpus()[0], port, tmp_path / "logs" / "a.log")


def test_what_a_call_that_was_cut_off_left_is_ended(
    servers: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    server = servers.Server(
        servers.CONTENDERS["stock"], place(servers, machine(), tmp_path), ["--x"]
    )
    server.must_be_ready(time.monotonic() + PATIENCE_S)
    assert len(list((tmp_path / "logs").glob("*.pid"))) == 1
    servers.clear(tmp_path / "logs")
    server.stop()
    assert not server.alive()
    assert not list((tmp_path / "logs").glob("*.pid"))


def test_a_number_of_another_process_is_left_alone(servers: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "1.pid").touch()
    servers.clear(tmp_path)  # ending process 1 would be noticed
    assert not (tmp_path / "1.pid").exists()


def test_stock_gets_none_of_our_variables(
    servers: ModuleType, machine: Callable[..., list[str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("GEMMA4CTL_SGLANG_KERNELS", "fused")
    monkeypatch.setenv("GEMMA4CTL_SGLANG_KV", "shared")
    server = servers.Server(servers.CONTENDERS["stock"], place(servers, machine(), tmp_path), [])
    server.must_be_ready(time.monotonic() + PATIENCE_S)
    found = server.facts()
    server.stop()
    assert found["announced"] == []
    assert found["full_layer_tokens"] == 1_000
    assert found["command"][:3] == ["CUDA_VISIBLE_DEVICES=0", "sglang", "serve"]


def test_the_first_start_of_a_kind_on_a_machine_is_cold(
    servers: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    where = place(servers, machine(), tmp_path)
    cold = []
    for end in (0.0, PATIENCE_S, PATIENCE_S):  # the first one is never ready
        server = servers.Server(servers.CONTENDERS["stock"], where, [])
        server.ready(time.monotonic() + end)
        cold.append(server.facts()["cold"])
        server.stop()
    assert cold == [True, True, False]


def test_a_held_server_begins_when_it_is_let_go(
    servers: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    where = place(servers, machine(), tmp_path)
    server = servers.Server(servers.CONTENDERS["stock"], where, [], held=True)
    wait_until(lambda: "plugins" in server.text())
    assert not server.ready(time.monotonic() + 0.3)
    server.let_go()
    server.must_be_ready(time.monotonic() + PATIENCE_S)
    assert not any("GATE" in word for word in server.facts()["command"])
    server.stop()
    assert not list((tmp_path / "logs").glob("*.go"))


def test_a_server_that_never_answers(
    servers: ModuleType, machine: Callable[..., list[str]], tmp_path: Path
) -> None:
    server = servers.Server(servers.CONTENDERS["stock"], place(servers, machine(), tmp_path), [])
    with pytest.raises(servers.StartError, match="not ready in time"):
        server.must_be_ready(time.monotonic())
    server.stop()


def test_the_share_of_memory_leaves_room_beside_the_pools(servers: ModuleType) -> None:
    free = 79.7
    gpu = servers.Gpu(0, "NVIDIA H100 80GB HBM3", "", 81_559, int(free * 1024))
    assert gpu.short == "H100"
    assert float(servers.fraction(gpu, 10, 5.8)) == pytest.approx(15.8 / 79, abs=1e-3)
    assert float(servers.fraction(gpu, 60, 80)) == pytest.approx(1 - 4.3 / 79, abs=1e-3)


def test_every_gpu_takes_the_next_name(
    servers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [servers.Gpu(n, "NVIDIA H200", "", 1, 1) for n in (0, 1)]
    monkeypatch.setattr(servers, "gpus", lambda: two)
    both, seen = threading.Barrier(2, timeout=PATIENCE_S), set()

    def work(name: str, gpu: Any) -> None:
        seen.add((name, gpu.index))
        if name in "ab":
            both.wait()  # at the same time, on both

    servers.spread(["a", "b", "c"], work)
    assert {name for name, _ in seen} == {"a", "b", "c"}
    assert {index for name, index in seen if name in "ab"} == {0, 1}
    seen.clear()
    servers.spread(["c", "d"], work, [1])
    assert seen == {("c", 1), ("d", 1)}


def test_a_result_says_whether_the_kernels_were_active(script: Script) -> None:
    results = script("results")
    fell_back = [{"contender": "fused", "announced": ["gemma4ctl 0.1.0 kernels: stock, G: no"]}]
    active = [{"contender": "fused", "announced": ["gemma4ctl 0.1.0 kernels: fused, G, 35"]}]
    assert results.active(active) and not results.active(active + fell_back)
    assert not results.active([])


def test_a_contender_leaves_attention_in_decode_to_sglang(servers: ModuleType) -> None:
    from gemma4ctl.sglang_model import switches

    others = tuple(part for part in switches.PARTS if part != "decode")
    names = {"fused": switches.PARTS, "fused-stock-decode": others}
    for name, parts in names.items():
        environment = servers.CONTENDERS[name].environment
        assert switches.fused_asked(environment)
        assert switches.parts(environment) == parts
