"""When a plan switches the model module on, and what it says when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load
from gemma4ctl.rendering.command import environment
from gemma4ctl.sglang_model import switches

ALL = switches.fused_environment() | switches.shared_kv_environment()


def planned(platform: str = "H200", **fields: Any) -> Plan:
    table = load()
    values = {"model": "E2B", "sglang_version": "0.5.16"} | fields
    return plan(Request(**values), simulate(platform, 1, table), table)


def switched(made: Plan) -> dict[str, str]:
    return {name: value for name, value in environment(made).items() if name in ALL}


def test_fused_is_switched_on_as_asked() -> None:
    made = planned(kernels="fused", origins={"kernels": "flag"})
    assert switched(made) == ALL
    decision = made.decision("kernels")
    assert decision is not None
    assert (decision.value, decision.status, decision.origin) == ("fused", "estimated", "flag")
    assert "verify --kernels" in decision.reason


@pytest.mark.parametrize(
    ("platform", "fields", "reason"),
    [
        ("H200", {"sglang_version": "0.5.23"}, "the module is made for SGLang 0.5.16, not 0.5.23"),
        ("B200", {}, "the kernels are made for sm_90, not sm_100"),
        ("MI300X", {}, "the kernels are made for sm_90, not gfx942"),
        ("H200", {"model": "31B", "checkpoint": "fp8"}, "fp8 weights"),
        ("H200", {"extra_args": ("--enable-torch-compile",)}, "--enable-torch-compile"),
        ("H200", {"extra_args": ("--enable-lora",)}, "LoRA"),
    ],
)
def test_what_is_not_supported_is_planned_as_stock(
    platform: str, fields: dict[str, Any], reason: str
) -> None:
    made = planned(platform, kernels="fused", **fields)
    assert switched(made) == {}
    assert made.value("kernels") == "stock"
    assert any(w.code == "kernels-stock" and reason in w.message for w in made.warnings)


def test_pools_stay_sglangs_where_they_must() -> None:
    made = planned(kernels="fused", extra_args=("--disable-hybrid-swa-memory",))
    assert switched(made) == switches.fused_environment()


def test_the_draft_of_the_plan_shares_pools() -> None:
    assert switched(planned(kernels="fused", mtp=True)) == ALL


def test_stock_says_nothing_more() -> None:
    made = planned(kernels="stock")
    assert switched(made) == {}
    assert made.decision("kernels").reason == "SGLang's own model code"  # type: ignore[union-attr]


def test_auto_is_stock_until_certified() -> None:
    assert reason(planned()) == (
        "SGLang's own model code: the fused kernels are faster for E2B on sm_90, but not certified "
        "for these weights on this host; to do it once: "
        "gemma4ctl verify --kernels --model-path FOLDER"
    )
    assert "not certified" in reason(planned(kernels_certified=("0.5.15",)))
    made = planned(kernels_certified=("0.5.16",))
    assert switched(made) == ALL
    assert made.decision("kernels").status == "verified"  # type: ignore[union-attr]
    assert not [w for w in made.warnings if w.code == "kernels-stock"]


def test_the_folder_to_certify_is_named() -> None:
    assert reason(planned(model_path="/my models/E2B")).endswith("--model-path '/my models/E2B'")
    assert reason(planned(model_path="me/gemma-4-E2B-it")).endswith("--model-path FOLDER")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"model": "12B"}, "the fused kernels are not measured to be faster for 12B on sm_90"),
        ({"mtp": True}, "the fused kernels are not measured with MTP"),
        (
            {"extra_args": ("--speculative-algorithm", "NEXTN")},
            "the fused kernels are not measured with MTP",
        ),
    ],
)
def test_auto_is_stock_where_nothing_is_measured(fields: dict[str, Any], problem: str) -> None:
    made = planned(kernels_certified=("0.5.16",), **fields)
    assert reason(made) == f"SGLang's own model code: {problem}"
    assert switched(made) == {}


def test_auto_stays_stock_elsewhere_without_a_warning() -> None:
    made = planned("B200")
    assert "the kernels are made for sm_90, not sm_100" in reason(made)
    assert not [w for w in made.warnings if w.code == "kernels-stock"]


def reason(made: Plan) -> str:
    decision = made.decision("kernels")
    assert decision is not None
    return decision.reason
