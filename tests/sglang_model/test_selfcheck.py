"""The check of the kernels at start, with kernels that are right, wrong, or fail."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

PARTS = ("norms", "attention", "linear", "experts")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with every kernel replaced by its reference."""
    pytest.importorskip("torch")
    selfcheck = importlib.import_module("gemma4ctl.sglang_model.selfcheck")
    plain = vars(selfcheck.reference)
    for name in ("norms", "per_layer", "attention", "linear", "experts"):
        module = getattr(selfcheck, name)
        same = {key: plain.get(key, value) for key, value in vars(module).items()}
        monkeypatch.setattr(selfcheck, name, SimpleNamespace(**same))
    monkeypatch.setattr(
        selfcheck.linear, "attention_tail_gate_up", selfcheck._attention_tail_gate_up
    )
    return selfcheck


def found(check: Any, *, per_layer: int = 16, experts: int = 0) -> str | None:
    import torch

    shape = check.Shape(
        hidden=96, per_layer=per_layer, heads=4, kv_heads=2, head=64, experts=experts
    )
    problem: str | None = check.problem([shape], torch.bfloat16, torch.device("cpu"), PARTS)
    return problem


@pytest.mark.parametrize("experts", [0, 24])
def test_right_kernels_have_no_problem(check: Any, experts: int) -> None:
    import torch

    state = torch.get_rng_state()
    assert found(check, per_layer=0 if experts else 16, experts=experts) is None
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("norms", "attention_tail"),
        ("norms", "layer_tail"),
        ("per_layer", "per_layer_tail"),
        ("linear", "gate_up"),
    ],
)
def test_a_wrong_result_is_found(
    check: Any, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    right = getattr(getattr(check, module), name)

    def wrong(*args: Any) -> Any:
        made = right(*args)
        return (made[0] * 1.1, *made[1:]) if isinstance(made, tuple) else made * 1.1

    monkeypatch.setattr(getattr(check, module), name, wrong)
    assert (found(check) or "").startswith(f"{name} differs from its reference by 10.")


def test_a_store_at_other_slots_is_found(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = check.attention.norm_rope_store

    def wrong(*args: Any, **options: Any) -> None:
        right(*args[:7], args[7] + 1, *args[8:], **options)

    monkeypatch.setattr(check.attention, "norm_rope_store", wrong)
    assert (found(check) or "").startswith("norm_rope_store differs")


def test_keys_that_are_not_kept_may_be_anything(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = check.attention.norm_rope_store

    def spoils(*args: Any, keep: bool) -> None:
        right(*args, keep=keep)
        if not keep:
            args[1].fill_(float("nan"))

    monkeypatch.setattr(check.attention, "norm_rope_store", spoils)
    assert found(check) is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("CUDA out of memory\nTried to allocate"),
        ImportError("no module triton"),
        AttributeError("module 'triton.language' has no attribute 'extra'"),
    ],
)
def test_a_kernel_that_fails_is_said(
    check: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(check.norms, "rms_norm", fail)
    first = str(error).splitlines()[0]
    assert found(check) == f"rms_norm: {type(error).__name__}: {first}"
