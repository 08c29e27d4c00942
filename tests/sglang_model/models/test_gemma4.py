"""The module that SGLang's registry imports: Gemma 4's classes, or nothing."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import pytest

from gemma4ctl.sglang_model import support, switches

NAME = "gemma4ctl.sglang_model.models.gemma4"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports the module anew, beside an ``sglang`` of some release."""

    def load(release: str = "0.5.16", *, asked: bool = True) -> list[type]:
        package = types.ModuleType("sglang")
        package.__version__ = release  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sglang", package)
        monkeypatch.delenv(switches.KERNELS_VARIABLE, raising=False)
        if asked:
            monkeypatch.setenv(switches.KERNELS_VARIABLE, switches.KERNELS_ON)
        sys.modules.pop(NAME, None)
        classes: list[type] = importlib.import_module(NAME).EntryClass
        sys.modules.pop(NAME)
        return classes

    return load


@pytest.fixture
def classes(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("gemma4ctl.sglang_model.classes")
    module.ALL = [int]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    package = importlib.import_module("gemma4ctl.sglang_model")
    monkeypatch.setattr(package, "classes", module, raising=False)
    return module


def test_classes_are_registered_when_asked_for(load: Any, classes: Any) -> None:
    assert load() == [int]


def test_nothing_is_registered_unasked(
    load: Any, classes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(asked=False) == []
    assert not caplog.text


def test_another_release_keeps_its_own(
    load: Any, classes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert load("0.5.23") == []
    reason = "the module is made for SGLang 0.5.16, not 0.5.23"
    assert f"kernels: stock, Gemma 4: {reason}" in caplog.text


def test_a_failing_import_keeps_sglangs_own(
    load: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = importlib.import_module("gemma4ctl.sglang_model")
    monkeypatch.delattr(package, "classes", raising=False)
    monkeypatch.setitem(sys.modules, "gemma4ctl.sglang_model.classes", None)
    assert load() == []
    assert "kernels: stock, Gemma 4: " in caplog.text


def test_sglangs_registry_prefers_them(real_sglang: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """SGLang's own registry: every Gemma 4 architecture is replaced, nothing else."""
    from sglang.srt.models import registry

    monkeypatch.setenv(switches.KERNELS_VARIABLE, switches.KERNELS_ON)
    sys.modules.pop(NAME, None)
    found = registry._ModelRegistry()
    registry.import_model_classes.cache_clear()
    found.register(switches.PACKAGE, overwrite=True, strict=True)
    assert set(found.models) == {*support.TARGETS, *support.DRAFTS}
    for name, model in found.models.items():
        assert model.__name__ == name
        assert model.__module__ == "gemma4ctl.sglang_model.classes"
        assert model.__mro__[1].__module__.startswith("sglang.srt.models.gemma4_")
        assert found.resolve_model_cls([name]) == (model, name)
    sys.modules.pop(NAME, None)


def test_the_registry_keeps_its_own_unasked(
    real_sglang: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sglang.srt.models import registry

    monkeypatch.delenv(switches.KERNELS_VARIABLE, raising=False)
    sys.modules.pop(NAME, None)
    registry.import_model_classes.cache_clear()
    assert registry.import_model_classes(switches.PACKAGE, strict=True) == {}
    sys.modules.pop(NAME, None)
