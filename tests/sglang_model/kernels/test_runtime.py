"""What is missing is said, and launch arguments follow the device."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("triton", reason="needs Triton")

import torch
import triton

from gemma4ctl.sglang_model.kernels import configs, runtime


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Nothing that one test finds out about the device reaches another."""
    yield
    runtime.architecture.cache_clear()
    runtime._dependent_launch.cache_clear()


def gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], hip: str | None) -> None:
    """A constructed GPU."""
    runtime.architecture.cache_clear()
    runtime._dependent_launch.cache_clear()
    monkeypatch.setattr(runtime, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "hip", hip)


def test_importing_needs_no_triton() -> None:
    script = (
        "import sys; sys.modules['triton'] = None\n"
        "from gemma4ctl.sglang_model.kernels import linear, norms, attention, per_layer, runtime\n"
        "import torch\n"
        "try:\n"
        "    norms.rms_norm(torch.ones(1, 8), torch.ones(8), 1e-6)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "the fused kernels need Triton" in done.stdout, done.stderr


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "interpreted", lambda: True)
    assert runtime.missing() is None
    monkeypatch.setattr(runtime, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtime.missing() == "PyTorch sees no GPU"
    monkeypatch.setattr(triton, "__version__", "3.3.1")
    assert runtime.missing() == "Triton 3.3.1 is older than 3.4"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert runtime.missing() == "Triton is not installed"


@pytest.mark.parametrize(
    ("capability", "hip", "name", "dependent"),
    [
        ((9, 0), None, "sm_90", True),
        ((10, 0), None, "sm_100", True),
        ((8, 9), None, "sm_89", False),
        ((9, 4), "6.4", "rocm", False),
    ],
)
def test_dependent_launch_where_the_device_has_it(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    hip: str | None,
    name: str,
    dependent: bool,
) -> None:
    gpu(monkeypatch, capability, hip)
    assert runtime.architecture(0) == name
    launch = runtime.launch(torch.empty(0))
    assert launch == ({"PDL": True, "launch_pdl": True} if dependent else {"PDL": False})


def test_dependent_launch_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.PDL_VARIABLE, "0")
    gpu(monkeypatch, (9, 0), None)
    assert runtime.launch(torch.empty(0)) == {"PDL": False}


def test_tiles_fill_the_gpu_and_hold_short_rows_whole() -> None:
    for n, k in ((256, 1536), (2560, 1536), (1536, 256), (12288, 1536), (1536, 12288)):
        for gated in (False, True):
            tiles = configs.row("sm_90", n, k, gated=gated)
            assert -(-n // tiles.block_n) >= min(n, 264)
            assert k > 4096 or tiles.block_k >= k
    assert configs.rows("sm_90", 256, 1536, gated=False).warps == 1


def test_measured_tiles_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    row, rows = configs.Row(8, 512, 8, 3), configs.Rows(64, 64, 4, 3)
    monkeypatch.setitem(configs.ROW, ("sm_90", 2560, 1536, False), row)
    monkeypatch.setitem(configs.ROWS, ("sm_90", 2560, 1536, True), rows)
    assert configs.row("sm_90", 2560, 1536, gated=False) == row
    assert configs.rows("sm_90", 2560, 1536, gated=True) == rows
    assert configs.row("sm_100", 2560, 1536, gated=False) != row
