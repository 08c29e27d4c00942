"""The reader of SGLang's traces, on constructed ones, and a run on a constructed SGLang."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Script = Callable[[str], ModuleType]


def event(name: str, start: float, length: float, **more: Any) -> dict[str, Any]:
    """An event as Kineto writes it."""
    return {"ph": "X", "cat": "kernel", "name": name, "ts": start, "dur": length, **more}


# Two steps, 100 us apart: a matrix product of 10 us, a norm that begins before it ends, a copy.
EVENTS = [
    {"ph": "M", "name": "process_name", "args": {"name": "python"}},
    {"ph": "X", "cat": "cuda_runtime", "name": "cudaGraphLaunch", "ts": 0, "dur": 50},
    {"ph": "s", "cat": "ac2g", "name": "ac2g", "ts": 1},
    *(
        one
        for begin in (1_000.0, 1_124.0)
        for one in (
            event("Memcpy DtoD (Device -> Device)", begin + 22, 2, cat="gpu_memcpy"),
            event("nvjet_tst_64x8_64x16_4x1_v_bz_TNT", begin, 10),
            event("void norm::RMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*)", begin + 8, 12),
        )
    ),
]


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_step_of_a_trace(script: Script, tmp_path: Path, suffix: str) -> None:
    profile = script("step_profile")
    data = json.dumps({"schemaVersion": 1, "traceEvents": EVENTS}).encode()
    path = tmp_path / f"trace{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    found = profile.step(profile.read(path), 2)
    assert (found.launches, found.summed_us, found.busy_us) == (3, 24, 22)
    assert (found.within_us, found.between_us) == (2, 100)
    assert [tuple(row) for row in found.families] == [
        ("norm", 1, 12), ("GEMM", 1, 10), ("copy, fill", 1, 2),
    ]  # fmt: skip
    assert found.kernels[0].name == "RMSNormKernel"
    assert profile.restored(json.loads(json.dumps(profile.document(found)))) == found


def test_the_table_of_one_trace(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"traceEvents": EVENTS}))
    script("step_profile").main(["read", str(path), "--steps", "2"])
    assert "3 launches, busy 22 us" in capsys.readouterr().out


def test_a_trace_without_kernels(script: Script) -> None:
    with pytest.raises(ValueError, match="no kernel"):
        script("step_profile").step([], 20)


ELEMENTWISE = "void at::native::vectorized_elementwise_kernel<4, at::native::{}<c10::BFloat16>, x>"


# Names as in traces of SGLang 0.5.16 on Hopper (constructed from its sources and from PyTorch's).
@pytest.mark.parametrize(
    ("name", "family", "short"),
    [
        ("nvjet_tst_64x8_64x16_4x1_v_bz_TNT", "GEMM", "nvjet_tst_64x8_64x16_4x1_v_bz_TNT"),
        ("void cublasLt::splitKreduce_kernel<32, 16>(int)", "GEMM", "splitKreduce_kernel"),
        ("_fwd_grouped_kernel_stage1", "attention", "_fwd_grouped_kernel_stage1"),
        ("fused_moe_kernel", "MoE", "fused_moe_kernel"),
        ("_gemma_qkv_rmsnorm_kernel", "norm", "_gemma_qkv_rmsnorm_kernel"),
        (ELEMENTWISE.format("CUDAFunctor_add"), "elementwise",
         "vectorized_elementwise_kernel CUDAFunctor_add"),
        (ELEMENTWISE.format("GeluCUDAKernelImpl"), "activation",
         "vectorized_elementwise_kernel GeluCUDAKernelImpl"),
        ("void gelu_tanh_and_mul_kernel<bf16>(x)", "activation", "gelu_tanh_and_mul_kernel"),
        ("void BatchQKApplyRotaryPosIdsCosSinCacheKernel<true>(x)", "RoPE",
         "BatchQKApplyRotaryPosIdsCosSinCacheKernel"),
        ("store_kvcache", "KV store", "store_kvcache"),
        ("something_new", "other", "something_new"),
        ("_attention_tail", "gemma4ctl", "_attention_tail"),
    ],
)  # fmt: skip
def test_families(script: Script, name: str, family: str, short: str) -> None:
    profile = script("step_profile")
    assert profile.family(name, {"_attention_tail"}) == family
    assert profile.short_name(name) == short


def test_our_own_kernels_are_found_in_the_sources(script: Script, tmp_path: Path) -> None:
    text = "@triton.autotune(configs=[])\n@triton.jit(do_not_specialize=['n'])\ndef _tail(x):\n ..."
    (tmp_path / "norms.py").write_text(text + "\n\ndef tail(x):\n    ...\n")
    assert script("step_profile").our_kernels(tmp_path) == {"_tail"}
    assert script("step_profile").our_kernels(tmp_path / "missing") == frozenset()
    assert len(script("step_profile").our_kernels()) > 5


def test_servers_are_profiled_and_compared(
    script: Script, machine: Callable[..., list[str]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    profile = script("step_profile")
    profile.main(machine("--variants", "E2B", "--batches", "1"))
    record = json.loads((tmp_path / "out" / "profile-E2B-H200.json").read_text())
    assert [found["contender"] for found in record["profiles"]] == ["stock", "fused"]
    stock = record["profiles"][0]
    assert (stock["launches"], stock["busy_us"], stock["within_us"]) == (3, 30, 20)
    assert stock["between_us"] == 100
    assert "--mem-fraction-static" in stock["command"]
    capsys.readouterr()
    profile.main(["compare", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert "E2B fused on NVIDIA H200, batch 1" in shown
    assert "all              3.0     30.0       3.0     30.0" in shown


def test_a_server_that_fails_is_recorded(
    script: Script, machine: Callable[..., list[str]], tmp_path: Path,
) -> None:  # fmt: skip
    script("step_profile").main(machine("--contenders", "fused", flags=("--broken",)))
    record = json.loads((tmp_path / "out" / "profile-E2B-H200.json").read_text())
    assert record["profiles"] == []
    assert "OutOfMemoryError" in record["failures"][0]["log"][-1]
