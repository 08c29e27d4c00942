"""Stand-ins for the compiled packages that SGLang imports and a machine without a GPU lacks.

Every attribute of a stand-in is a class that accepts anything and does nothing. With them the real
SGLang 0.5.16 imports on a CPU, and what is tested is its own code.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

PACKAGES = ("sgl_kernel", "flashinfer", "flash_mla", "deep_gemm", "flash_attn", "vllm")


class _Anything(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _thing(f"{cls.__name__}.{name}")


def _thing(name: str) -> type:
    def accept(self: object, *args: Any, **kwargs: Any) -> None:
        return None

    return _Anything(name, (), {"__init__": accept, "__call__": accept})


class _Inert(types.ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _thing(f"{self.__name__}.{name}")
        setattr(self, name, made)
        return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.split(".")[0] in PACKAGES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Inert(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None


def install() -> None:
    """Answer imports of those packages that are not installed."""
    if all(importlib.util.find_spec(name) for name in PACKAGES):
        return
    import torch  # noqa: F401 - before the stand-ins: they look for some of them
    import transformers  # noqa: F401

    sys.meta_path.append(_Finder())
