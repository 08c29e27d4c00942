"""The check at start with the kernels themselves: right ones stay within its bounds."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from gemma4ctl.sglang_model import selfcheck  # noqa: E402
from gemma4ctl.sglang_model.kernels import decode  # noqa: E402
from gemma4ctl.sglang_model.switches import PARTS  # noqa: E402
from tests.sglang_model.kernels.tensors import DEVICE  # noqa: E402

# No sizes but heads are powers of two.
SIZES = {"hidden": 88, "heads": 2, "kv_heads": 1, "head": 32}
SHAPES = [
    selfcheck.Shape(**SIZES, per_layer=24, experts=0),
    selfcheck.Shape(**SIZES, per_layer=0, experts=10),
]
PRODUCTS = [selfcheck.Product(20, 88, gated=False), selfcheck.Product(12, 88, gated=True)]


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES, ids=["dense", "experts"])
def test_the_kernels_pass(shape: selfcheck.Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "TOKENS", (1, 8, 9) if DEVICE != "cpu" else (8, 9))
    found = selfcheck.problems([shape], PRODUCTS, torch.bfloat16, torch.device(DEVICE), PARTS)
    assert found == {}


@pytest.mark.long
@pytest.mark.parametrize(
    ("dtype", "parts"),
    [(torch.float16, PARTS), (torch.float32, ("norms", "attention"))],
)
def test_other_types_pass(
    dtype: torch.dtype, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfcheck, "TOKENS", (1,))
    monkeypatch.setattr(selfcheck, "CONTEXT", 130)
    found = selfcheck.problems(SHAPES, PRODUCTS, dtype, torch.device(DEVICE), parts)
    assert found == {}


def test_a_crowd_of_each_layer_is_checked() -> None:
    """As large batches are attended to otherwise than small ones."""
    layers = [selfcheck.Shape(64, 0, 8, kv_heads, 32, 0) for kv_heads in (1, 4)]
    make = selfcheck.Tensors(torch.bfloat16, torch.device(DEVICE))
    checked = {
        (len(check.arguments[0]), check.arguments[1].shape[1])
        for check in selfcheck.checks(layers, [], make, (1,)) if check.part == "decode"
    }  # fmt: skip
    for layer in layers:
        crowd = decode.crowd(layer.kv_heads, make.device)
        assert {(1, layer.kv_heads), (crowd, layer.kv_heads)} <= checked
        assert decode.crowded(crowd * layer.kv_heads, decode._multiprocessors(make.device))
