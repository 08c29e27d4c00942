"""The entry point: nothing without its variable, and SGLang's own loader calls it."""

from __future__ import annotations

import logging
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from gemma4ctl.sglang_model import kv_sharing, plugin, switches


@pytest.fixture
def sglang(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A constructed stand-in that records hooks, of the tested release."""
    package = types.ModuleType("sglang")
    package.__version__ = "0.5.16"  # type: ignore[attr-defined]
    registry = types.ModuleType("sglang.srt.plugins.hook_registry")
    hooks: dict[str, Any] = {}

    class HookRegistry:
        @staticmethod
        def register(target: str, hook: Any, kind: str) -> None:
            hooks[target] = (hook, kind)

    registry.HookRegistry = HookRegistry  # type: ignore[attr-defined]
    registry.HookType = types.SimpleNamespace(AFTER="after")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sglang", package)
    monkeypatch.setitem(sys.modules, "sglang.srt.plugins.hook_registry", registry)
    return types.SimpleNamespace(package=package, hooks=hooks)


def test_without_the_variable_nothing_happens(sglang: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(switches.KV_VARIABLE, raising=False)
    for name, value in switches.fused_environment().items():
        monkeypatch.setenv(name, value)
    plugin.load()
    assert not sglang.hooks


def test_with_it_two_hooks_are_registered(sglang: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(switches.KV_VARIABLE, switches.KV_ON)
    plugin.load()
    assert sglang.hooks == {
        kv_sharing.LAYER_IDS: (kv_sharing.after_layer_ids, "after"),
        kv_sharing.CHARGE: (kv_sharing.after_token_bytes, "after"),
    }


def test_another_release_is_left_alone(
    sglang: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sglang.package.__version__ = "0.5.23"
    monkeypatch.setenv(switches.KV_VARIABLE, switches.KV_ON)
    plugin.load()
    assert not sglang.hooks
    assert "KV: stock: the module is made for SGLang 0.5.16, not 0.5.23" in caplog.text


def test_loading_it_imports_the_standard_library_only() -> None:
    """Every ``sglang serve`` of the environment pays for it."""
    code = (
        "import sys; from gemma4ctl.sglang_model.plugin import load; load(); "
        "print(*{name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert {"gemma4ctl"} <= set(answer.stdout.split()) <= {"gemma4ctl", "__main__"}


def test_sglang_calls_it(
    real_sglang: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By the entry point of the project's metadata, through SGLang's own loader."""
    from sglang.srt import plugins
    from sglang.srt.plugins.hook_registry import HookRegistry

    entry = EntryPoint("gemma4ctl", "gemma4ctl.sglang_model.plugin:load", "sglang.srt.plugins")
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [entry] if "plat" not in group else []
    )
    monkeypatch.setattr(HookRegistry, "apply_hooks", lambda: None)
    for asked, hooks in ((None, 0), (switches.KV_ON, 2)):
        HookRegistry.reset()
        monkeypatch.setattr(plugins, "_plugins_loaded", False)
        monkeypatch.delenv(switches.KV_VARIABLE, raising=False)
        if asked:
            monkeypatch.setenv(switches.KV_VARIABLE, asked)
        with caplog.at_level(logging.INFO):
            plugins.load_plugins()
        assert len(HookRegistry._hooks) == hooks
    HookRegistry.reset()
    assert "Executed general plugin: gemma4ctl" in caplog.text
