"""The kernels run on a GPU where PyTorch sees one, in Triton's interpreter on the CPU otherwise."""

from __future__ import annotations

from tests.sglang_model.kernels import interpreter

assert interpreter
