"""Compiling for a GPU that is not here, and the sizes that are compiled and checked."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks.conftest import BENCHMARKS
from tests.sglang_model.kernels import interpreter

assert interpreter  # before Triton is imported
Script = Callable[[str], Any]
COMPILE = """
import check
sizes = {"hidden_size": 256, "intermediate_size": 512, "per_layer_input": 32}
experts = check.VARIANTS["26B-A4B"].experts.model_copy(update={"intermediate_size": 64})
e2b = check.VARIANTS["E2B"]
draft = e2b.draft.model_copy(update={"intermediate_size": 512})
check.VARIANTS["tiny"] = e2b.model_copy(update={**sizes, "experts": experts, "draft": draft})
heads = {"attention_heads": 2, "kv_heads": e2b.kv_heads, "experts": None}
check.VARIANTS["paired"] = check.VARIANTS["tiny"].model_copy(update=heads)
raise SystemExit(check.main(["compile", "--variants", "tiny,paired"]))
"""
PTX = """
    ld.param.b64 %rd1, [kernel_param_0];
    ld.param.b64 %rd2, [kernel_param_1];
    ld.param.b32 %r1, [kernel_param_2];
    cvta.to.global.u64 %rd3, %rd1;
    mul.wide.s32 %rd9, %r1, 2;
    add.s64 %rd4, %rd3, %rd9;
    ld.global.v4.b32 { %r2, %r3, %r4, %r5 }, [ %rd4 + 0 ];
    griddepcontrol.wait; // dummy $0
    mad.wide.s32 %rd5, %r1, 2, %rd2;
    @%p1 cp.async.cg.shared.global [ %r7 + 0 ], [ %rd5 + 0 ], 0x10, %r8;
    cp.async.commit_group;
"""


def test_what_is_read_before_the_wait(script: Script) -> None:
    offline = script("offline")
    assert offline.reads(PTX, ["weight", "x", None]) == (("weight",), ("x",))
    late = PTX.replace("griddepcontrol.wait", "nop") + "griddepcontrol.wait;"
    assert offline.reads(late, ["weight", "x", None]) == (("weight", "x"), ())


def test_paths_around_the_wait(script: Script) -> None:
    waits = script("offline").always_waits
    assert waits(PTX)
    assert waits("$L1: bra $L1; griddepcontrol.wait; $L2: ret;")
    assert not waits("ret;")
    assert not waits("@%p1 ret; griddepcontrol.wait; ret;")
    assert not waits("@%p1 bra $L2;\ngriddepcontrol.wait;\n$L2:\nret;")


def test_barriers_of_loops(script: Script) -> None:
    barriers = script("offline").barriers_in_loops
    loop = "bar.sync 0;\n$L1:\nmov.b32 %r1, %r2;\n{}\n@%p1 bra $L1;\nbar.sync 0;\nret;"
    assert barriers(loop.format("add.s32 %r1, %r1, 1;")) == 0
    assert barriers(loop.format("bar.sync 0;")) == 1
    assert barriers(loop.format("$L2:\nbarrier.sync 0;\nbar.sync 0;\n@%p2 bra $L2;")) == 2


@pytest.fixture
def check(script: Script) -> Any:
    pytest.importorskip("torch")
    return script("check")


@pytest.mark.parametrize("variant", ["E2B", "E4B", "12B", "26B-A4B", "31B"])
def test_the_linear_layers_are_those_that_are_timed(
    check: Any, script: Script, variant: str
) -> None:
    cases = script("cases")
    v = check.VARIANTS[variant]
    timed = {
        (one.n * (1 + one.gated), one.k, one.gated)
        for one in cases.products(v)
        if one.name != "output layer"
    }
    no_draft = v.draft.model_copy(
        update={"hidden_size": v.hidden_size, "intermediate_size": v.intermediate_size}
        | {"attention_heads": v.attention_heads, "kv_heads": v.kv_heads}
    )
    checked = set(map(tuple, check.products(v.model_copy(update={"draft": no_draft}), 1)))
    per_layer = {
        (v.per_layer_input, v.hidden_size, False),
        (v.hidden_size, v.per_layer_input, False),
    }
    only_q = {one for one in checked if one not in timed}
    assert timed - checked <= per_layer  # a check of their own
    heads = {v.attention_heads * size for size in (v.head_dim.sliding, v.head_dim.full)}
    assert {rows for rows, _, _ in only_q} <= heads


def test_ranks_share_the_heads(check: Any) -> None:
    v = check.VARIANTS["26B-A4B"]
    one, two = ({s.heads: s for s in check.shapes(v, tp) if s.experts} for tp in (1, 2))
    assert set(one) == {16}
    assert set(two) == {8}
    assert two[8].experts == one[16].experts // 2


@pytest.fixture
def tiny(check: Any, machine: object, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command for a tiny model in Triton's interpreter: its status and its record."""
    pytest.importorskip("triton")
    import torch

    e2b = check.VARIANTS["E2B"]
    small = {"hidden_size": 24, "intermediate_size": 20, "attention_heads": 2}
    draft = e2b.draft.model_copy(update=small)
    heads = e2b.head_dim.model_copy(update={"sliding": 16, "full": 32})
    small |= {"per_layer_input": 8, "draft": draft, "head_dim": heads, "sliding_window": 12}
    monkeypatch.setitem(check.VARIANTS, "tiny", e2b.model_copy(update=small))
    monkeypatch.setattr(check, "DEVICE", torch.device("cpu"))
    monkeypatch.setattr(check, "BATCHES", (1, 3))
    monkeypatch.setattr(check.selfcheck, "CONTEXT", 20)
    monkeypatch.setattr(check.decode, "_multiprocessors", lambda device: 2)
    few = [check.selfcheck.Product(4, 24, gated) for gated in (False, True)]
    monkeypatch.setattr(check, "products", lambda v, tp: few)

    def run(out: Path, *words: str) -> tuple[int, Any]:
        status = check.main([*words, "--out", str(out)])
        return status, json.loads(out.read_text())

    return run


def test_the_record_has_every_difference_beside_its_bound(
    tiny: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("run", "--variants", "tiny", "--dtypes", "float16,float32")
    status, record = tiny(tmp_path / "kernels/check.json", *words)
    assert status == 0 and record["passed"]
    assert record["gpu"] == "NVIDIA H200" and record["driver_version"] == "580.159.04"
    assert record["command"][1:-1] == [*words, "--out"] and record["triton_version"] != "unknown"
    rows = {(one["kernel"], one["dtype"]): one for one in record["rows"]}
    kernels = {kernel for kernel, dtype in rows if dtype == "float32"}
    assert kernels >= {"rms_norm", "layer_tail", "norm_rope_store", "per_layer_inputs"}
    assert {kernel for kernel, dtype in rows if dtype == "float16"} - kernels == {
        *("linear", "gate_up", "attention_tail_gate_up", "attend", "softcap")
    }
    assert set(rows["rms_norm", "float16"]["sizes"]) == {"1x24", "3x24"}
    for one in record["rows"]:
        assert one["passed"] and one["checks"] >= len(one["sizes"]) > 0
        assert one["norm_of_differences"] == max(one["sizes"].values()) <= one["bound_of_norm"]
        assert one["largest_difference"] <= one["bound_of_largest"]
    assert any(one["norm_of_differences"] > 0 for one in record["rows"])


def test_wrong_kernels_are_in_the_record(
    check: Any, tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError("no memory")

    rms_norm = check.norms.rms_norm
    monkeypatch.setattr(check.norms, "rms_norm", lambda *args: rms_norm(*args) * 2)
    monkeypatch.setattr(check.norms, "layer_tail", fail)
    words = ("run", "--variants", "tiny", "--dtypes", "float32")
    status, record = tiny(tmp_path / "check.json", *words)
    rows = {one["kernel"]: one for one in record["rows"]}
    assert status == 1 and not record["passed"]
    assert rows["attention_tail"]["passed"] and not rows["rms_norm"]["passed"]
    assert rows["rms_norm"]["norm_of_differences"] == pytest.approx(1, rel=1e-3)
    assert "rms_norm 1x24: result 0 is off by 100.00%" in rows["rms_norm"]["problems"][0]
    assert rows["layer_tail"]["norm_of_differences"] is None
    assert "MemoryError: no memory" in rows["layer_tail"]["problems"][0]


def test_a_run_that_was_cut_short_leaves_no_record(
    tiny: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "check.json"
    with pytest.raises(SystemExit, match="--seconds are over before rms_norm"):
        tiny(out, "run", "--variants", "tiny", "--seconds", "-1")
    assert not out.exists()


@pytest.mark.parametrize("different", [0, 3])
def test_the_chain_leaves_a_record(
    check: Any,
    tiny: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    different: int,
) -> None:
    chain = SimpleNamespace(run=list)
    monkeypatch.setattr(check, "Chain", lambda *sizes: chain)
    monkeypatch.setattr(check, "repeated", lambda run, expected: different)
    status, record = tiny(tmp_path / "chain.json", "chain")
    assert status == (different > 0) and record["passed"] is (different == 0)
    assert [(one["tokens"], one["different"], one["replays"]) for one in record["rows"]] == [
        (1, different, 100),
        (8, different, 100),
        (8, different, 100),
    ]


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "triton")),
    reason="needs PyTorch and Triton",
)
def test_kernels_compile_for_hopper() -> None:
    """Every kernel at small sizes, as a server of such a model launches it."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        cwd=BENCHMARKS / "kernels",
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kernels = {line.split()[0] for line in done.stdout.splitlines()[1:-1]}
    expected = {"norm", "tail", "dual_tail", "gelu_times", "inputs", "norm_rope_store"}
    assert kernels >= expected | {"row", "rows", "gate_up", "down"}
    assert kernels >= {"split_attention", "merge", "stream_attention"}


@pytest.mark.parametrize("tokens", [1, 8])
def test_the_chain_gives_the_same_bits_again(
    check: Any, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    """In Triton's interpreter; a GPU compares launches that overlap."""
    pytest.importorskip("triton")
    import torch

    monkeypatch.setattr(check, "LAYERS", 2)
    small = {"hidden_size": 32, "intermediate_size": 24, "attention_heads": 2}
    v = check.VARIANTS["E2B"]
    heads = v.head_dim.model_copy(update={"sliding": 32})
    v = v.model_copy(update={**small, "head_dim": heads})
    chain = check.Chain(v, tokens, torch.device("cpu"))
    before = [pool.clone() for pool in chain.pools]
    first = [one.clone() for one in chain.run()]
    assert all(one.isfinite().all() for one in first)
    changed = [(one != pool).any(-1).any(-1) for one, pool in zip(first[2:], before, strict=True)]
    assert all(torch.equal(rows.nonzero()[:, 0], chain.places.sort()[0]) for rows in changed)
    assert all(map(torch.equal, chain.run(), first))


def test_the_last_chain_is_attended_to_by_streams(check: Any) -> None:
    """By several shares of a request: its crowd has contexts longer than one."""
    import torch

    from gemma4ctl.sglang_model.kernels import decode

    variant, tokens = check.CHAINS[-1]
    v = check.VARIANTS[variant]
    kv_heads = v.kv_heads.sliding
    group = v.attention_heads // kv_heads
    planned = decode.plan(tokens * kv_heads, group, v.head_dim.sliding, None, 132)
    assert isinstance(planned.tile, decode.Stream)
    made = check.Chain(
        v.model_copy(update={"hidden_size": 16, "intermediate_size": 16}),
        tokens,
        torch.device("cpu"),
    )
    assert int(made.starts[1]) > planned.least
