"""Triton's interpreter, where PyTorch sees no GPU: to be imported before Triton is.

Without PyTorch or Triton (as in the project's own CI) the tests of kernels are skipped. To run
them: ``pip install torch triton && pytest tests/sglang_model/kernels``.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any


def interpret() -> None:
    """Switch the interpreter on, with bf16 as GPUs have it.

    Left alone it truncates where they round to nearest, and multiplies the bits of bf16 operands
    of ``tl.dot`` as integers. Triton 3.6's bounds of loops need NumPy below 2.5.
    """
    os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported
    import numpy as np
    from triton.language import bfloat16, float32
    from triton.runtime import interpreter

    truncating = interpreter._convert_float
    dot = interpreter.InterpreterBuilder.create_dot

    def convert(values: Any, source: Any, target: Any, mode: Any) -> Any:
        if (source, target) != (float32, bfloat16):
            return truncating(values, source, target, mode)
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)

    def widened(operand: Any) -> Any:
        if operand.dtype.scalar != bfloat16:
            return operand
        bits = operand.data.astype(np.uint32) << 16
        return interpreter.TensorHandle(bits.view(np.float32), float32)

    def widening_dot(builder: Any, a: Any, b: Any, *others: Any) -> Any:
        return dot(builder, widened(a), widened(b), *others)

    patch_tensor = interpreter._patch_lang_tensor

    def patch_with_index(tensor: Any, scope: Any) -> None:
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patch_with_index
    interpreter._convert_float = convert
    interpreter.InterpreterBuilder.create_dot = widening_dot


if all(importlib.util.find_spec(name) for name in ("torch", "triton")):
    import torch

    if not torch.cuda.is_available():
        interpret()
