"""The kernels run on a GPU where PyTorch sees one, in Triton's interpreter on the CPU otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sglang_model.kernels import interpreter

assert interpreter


@pytest.fixture(autouse=True)
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """New memory holds NaN, which is seen where a kernel does not write it or reads it before.

    A GPU's allocator gives back what was freed last: often the right results of an earlier call.
    """
    torch = pytest.importorskip("torch")

    empty = torch.empty

    def full(*size: Any, **options: Any) -> Any:
        made = empty(*size, **options)
        return made.fill_(float("nan")) if made.is_floating_point() else made

    monkeypatch.setattr(torch, "empty", full)
