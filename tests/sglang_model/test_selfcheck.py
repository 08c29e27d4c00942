"""The check of the kernels at start, with kernels that are right, wrong, or fail."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

PARTS = ("norms", "attention", "linear", "experts", "decode", "logits")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with every kernel replaced by its reference."""
    pytest.importorskip("torch")
    selfcheck = importlib.import_module("gemma4ctl.sglang_model.selfcheck")
    plain = vars(selfcheck.reference)
    for name in ("norms", "per_layer", "attention", "linear", "experts", "decode", "logits"):
        module = getattr(selfcheck, name)
        same = {key: plain.get(key, value) for key, value in vars(module).items()}
        monkeypatch.setattr(selfcheck, name, SimpleNamespace(**same))

    def per_layer_tail(*args: Any, small_linears: bool) -> Any:
        return plain["per_layer_tail"](*args)

    monkeypatch.setattr(selfcheck.per_layer, "per_layer_tail", per_layer_tail)
    monkeypatch.setattr(selfcheck, "CONTEXT", 70)
    return selfcheck


def found(
    check: Any, *, per_layer: int = 16, experts: int = 0, parts: tuple[str, ...] = PARTS
) -> dict[str, list[str]]:
    import torch

    shape = check.Shape(
        hidden=96, per_layer=per_layer, heads=4, kv_heads=2, head=64, experts=experts
    )
    products = [check.Product(80, 96, gated=False), check.Product(160, 96, gated=True)]
    problems: dict[str, list[str]] = check.problems(
        [shape], products, torch.bfloat16, torch.device("cpu"), parts
    )
    return problems


@pytest.mark.parametrize("experts", [0, 24])
def test_right_kernels_have_no_problem(check: Any, experts: int) -> None:
    import torch

    state = torch.get_rng_state()
    assert found(check, per_layer=0 if experts else 16, experts=experts) == {}
    assert torch.equal(torch.get_rng_state(), state)


def first_of(made: Any, change: Callable[[Any], None]) -> Any:
    change(made[0] if isinstance(made, tuple) else made)
    return made


def one_value(tensor: Any) -> None:
    tensor[-1, -1] += 4


def one_row(tensor: Any) -> None:
    tensor[-1] = 0


def one_column(tensor: Any) -> None:
    tensor[:, -1] = 0


def a_tenth(tensor: Any) -> None:
    tensor *= 1.1


def not_a_number(tensor: Any) -> None:
    tensor[0, 0] = float("nan")


@pytest.mark.parametrize("change", [one_value, one_row, one_column, a_tenth, not_a_number])
@pytest.mark.parametrize(
    ("part", "module", "name"),
    [
        ("norms", "norms", "attention_tail"),
        ("norms", "norms", "layer_tail"),
        ("linear", "linear", "linear"),
        ("linear", "linear", "gate_up"),
        ("linear", "linear", "attention_tail_gate_up"),
        ("logits", "logits", "softcap"),
    ],
)
def test_a_wrong_result_is_found(
    check: Any, monkeypatch: pytest.MonkeyPatch, part: str, module: str, name: str, change: Any
) -> None:
    right = getattr(getattr(check, module), name)
    monkeypatch.setattr(getattr(check, module), name, lambda *args: first_of(right(*args), change))
    problems = found(check)
    assert list(problems) == [part]
    assert all(f"{name} " in line and "is off by " in line for line in problems[part])


def replaced(number: int, change: Callable[[Any], Any]) -> Callable[..., tuple[Any, ...]]:
    return lambda args: (*args[:number], change(args[number]), *args[number + 1 :])


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        pytest.param("norms", "attention_tail", replaced(2, lambda x: x * 0), id="residual"),
        pytest.param("norms", "layer_tail", replaced(2, lambda x: x * 0), id="layer residual"),
        pytest.param("norms", "layer_tail", replaced(3, lambda x: x * 0 + 1), id="scalar"),
        pytest.param("norms", "moe_layer_tail", replaced(6, lambda x: x * 0 + 1), id="moe scalar"),
        pytest.param("per_layer", "per_layer_tail", replaced(7, lambda x: x * 0 + 1), id="ple"),
        pytest.param("norms", "rms_norm", replaced(2, lambda x: 0.0), id="eps"),
        pytest.param("attention", "norm_rope_store", replaced(7, lambda x: x + 1), id="slot"),
        pytest.param("attention", "norm_rope_store", replaced(6, lambda x: x + 1), id="position"),
        pytest.param("attention", "norm_rope_query", replaced(4, lambda x: 0.0), id="query eps"),
        pytest.param("experts", "experts", replaced(2, lambda x: x.flip(1)), id="experts"),
        pytest.param("decode", "attend", replaced(4, lambda x: (x + 1) % 256), id="KV slot"),
        pytest.param("decode", "attend", replaced(5, lambda x: 1.1), id="scale"),
        pytest.param("logits", "softcap", replaced(1, lambda x: 1e9), id="softcap"),
        pytest.param("logits", "softcap", replaced(1, lambda x: x + 0.01), id="another softcap"),
    ],
)
def test_what_a_kernel_leaves_out_is_found(
    check: Any, monkeypatch: pytest.MonkeyPatch, module: str, name: str, wrong: Any
) -> None:
    """Negative controls, each of which the bounds must tell from rounding."""
    right = getattr(getattr(check, module), name)

    def broken(*args: Any, **options: Any) -> Any:
        return right(*wrong(args), **options)

    monkeypatch.setattr(getattr(check, module), name, broken)
    moe = name in ("moe_layer_tail", "experts")
    problems = found(check, per_layer=0 if moe else 16, experts=24 if moe else 0)
    assert any(f"{name} " in line for lines in problems.values() for line in lines)


def test_values_that_round_the_other_way_are_no_problem(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 50th value off by one unit in the last place, more than another order of sums does."""
    right = check.norms.layer_tail

    def flipped(*args: Any) -> Any:
        def flip(made: Any) -> None:
            made.view(-1)[::50] *= 1 + 2**-7

        return first_of(right(*args), flip)

    monkeypatch.setattr(check.norms, "layer_tail", flipped)
    assert found(check) == {}


def test_the_report_says_how_far_and_where(check: Any) -> None:
    import torch

    expected = torch.ones(4, 8, dtype=torch.bfloat16)
    wrong = expected.clone()
    wrong[2, 5] = 3
    off = check.difference(wrong, expected)
    assert off.problem == (
        "is off by 35.36% of its norm (0.78% allowed), a value by 200.00% of the largest (3.12%): "
        "3 for 1 at [2, 5]"
    )
    assert off[:2] == (pytest.approx(0.125**0.5), 2)


def test_a_right_kernel_has_the_worst_difference_of_what_it_made(check: Any) -> None:
    import torch

    def made(*values: float) -> Any:
        return lambda x: tuple(torch.full_like(x, value) for value in values)

    x = torch.zeros(2, 4, dtype=torch.bfloat16)
    one = check.Check("norms", made(1, 2), made(1, 2), (x,))
    assert check.compare(one) == check.Difference()
    near = one._replace(kernel=made(1, 2 + 2**-6))
    assert check.compare(near) == check.Difference(2**-7, 2**-7)
    wrong = check.compare(one._replace(kernel=made(1, 3)))
    assert wrong[:2] == (0.5, 0.5) and "result 1 is off by 50.00%" in wrong.problem


def test_fp32_has_the_bound_of_another_order_of_sums(check: Any) -> None:
    import torch

    assert check.bound(torch.bfloat16) == 2**-7 and check.bound(torch.float16) == 2**-10
    expected = torch.ones(4, 8)
    for off, right in ((2**-19, True), (2**-17, False)):
        assert (check.difference(expected + off, expected).problem is None) is right


def test_only_parts_that_are_asked_for_are_checked(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise AssertionError

    for module, name in (("linear", "linear"), ("norms", "rms_norm")):
        monkeypatch.setattr(getattr(check, module), name, fail)
    assert found(check, parts=("attention",)) == {}
    assert set(found(check)) == {"linear", "norms"}


def test_keys_that_are_not_kept_may_be_anything(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = check.attention.norm_rope_store

    def spoils(*args: Any, keep: bool) -> None:
        right(*args, keep=keep)
        if not keep:
            args[1].fill_(float("nan"))

    monkeypatch.setattr(check.attention, "norm_rope_store", spoils)
    assert found(check) == {}


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
    assert found(check)["norms"] == [
        f"rms_norm {tokens}x96: {type(error).__name__}: {first}" for tokens in check.TOKENS
    ]
