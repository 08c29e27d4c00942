"""When a plan switches the model module on, and what it says when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.capacity import stages
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import ONCE_CERTIFIED, Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load
from gemma4ctl.rendering.command import environment
from gemma4ctl.sglang_model import support, switches

CERTIFY = "gemma4ctl verify --kernels --model-path"
ALL = switches.fused_environment() | switches.shared_kv_environment()


def planned(platform: str = "H200", gpus: int = 1, **fields: Any) -> Plan:
    table = load()
    values = {"model": "E2B", "sglang_version": "0.5.16"} | fields
    return plan(Request(**values), simulate(platform, gpus, table), table)


def switched(made: Plan) -> dict[str, str]:
    return {name: value for name, value in environment(made).items() if name in ALL}


def test_fused_is_switched_on_as_asked() -> None:
    made = planned(kernels="fused", origins={"kernels": "flag"})
    assert switched(made) == ALL
    decision = made.decision("kernels")
    assert decision is not None
    assert (decision.value, decision.status, decision.origin) == ("fused", "verified", "flag")
    assert decision.reason == f"as asked for; to certify: {CERTIFY} FOLDER"


@pytest.fixture
def fewer_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but 12B and 31B."""
    for name in ("MEASURED", "PREFILL_GRAPHS_MEASURED"):
        rows = {row for row in getattr(support, name) if row[2] not in ("12B", "31B")}
        monkeypatch.setattr(support, name, frozenset(rows))


@pytest.mark.usefixtures("fewer_measured")
@pytest.mark.parametrize("fields", [{"model": "31B"}, {"mtp": True}])
def test_fused_is_an_estimate_where_nothing_is_measured(fields: dict[str, Any]) -> None:
    made = planned(kernels="fused", **fields)
    assert switched(made) == ALL
    assert made.decision("kernels").status == "estimated"  # type: ignore[union-attr]


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


@pytest.mark.parametrize("model", ["E2B", "E4B", "12B", "26B-A4B", "31B"])
def test_prefill_runs_from_graphs_where_that_is_measured(model: str) -> None:
    made = planned(model=model, kernels="fused")
    sizes = switches.prefill_graph_sizes(environment(made))
    assert sizes == support.prefill_graph_sizes(model)
    disabled = ("--cuda-graph-backend-prefill", "disabled")
    by_hand = planned(model=model, kernels="fused", extra_args=disabled)
    assert made.capacity is not None and by_hand.capacity is not None
    with_graphs, without = made.capacity.stages, by_hand.capacity.stages
    assert with_graphs is not None and without is not None
    counted = with_graphs.graphs - without.graphs
    variant = load().variants[model]
    assert counted == pytest.approx(stages.prefill_graphs(variant, sizes, 1) / 2**20, abs=1)
    assert made.capacity.full_layer_tokens == by_hand.capacity.full_layer_tokens


@pytest.mark.usefixtures("fewer_measured")
@pytest.mark.parametrize(
    "fields",
    [
        {"model": "31B"},
        {"kernels": "stock"},
        {"mtp": True},
        {"tp": 2},
        {"extra_args": ("--tp-size", "2")},
        *(
            {"extra_args": words}
            for words in (
                ("--cuda-graph-backend-prefill", "breakable"),
                ("--cuda-graph-bs-prefill", "64", "128"),
                ("--disable-cuda-graph",),
                ("--enable-memory-saver",),
                ("--disaggregation-mode", "prefill"),
                ("--attention-backend", "fa3"),
            )
        ),
    ],
)
def test_prefill_is_left_as_it_is_elsewhere(fields: dict[str, Any]) -> None:
    made = planned(gpus=2, **({"kernels": "fused"} | fields))
    assert switches.PREFILL_GRAPHS_VARIABLE not in environment(made)


def test_graphs_are_no_larger_than_what_is_prefilled_at_once() -> None:
    chunk = planned(kernels="fused", extra_args=("--chunked-prefill-size", "512"))
    context = planned(kernels="fused", context_length=1024)
    whole = planned(kernels="fused", extra_args=("--chunked-prefill-size", "-1"))
    largest = [switches.prefill_graph_sizes(environment(made))[-1] for made in (chunk, context)]
    assert largest == [512, 1024]
    assert switches.prefill_graph_sizes(environment(whole)) == support.prefill_graph_sizes("E2B")
    tiny = planned(kernels="fused", extra_args=("--chunked-prefill-size", "8"))
    assert switches.PREFILL_GRAPHS_VARIABLE not in environment(tiny)


def test_what_is_certified_prefills_from_graphs_too() -> None:
    made = planned(kernels_certified=("0.5.16",))
    assert switches.PREFILL_GRAPHS_VARIABLE in environment(made)


def test_pools_stay_sglangs_where_they_must() -> None:
    made = planned(kernels="fused", extra_args=("--disable-hybrid-swa-memory",))
    assert switched(made) == switches.fused_environment()


def test_the_draft_of_the_plan_shares_pools() -> None:
    assert switched(planned(kernels="fused", mtp=True)) == ALL


def test_stock_says_nothing_more() -> None:
    made = planned(kernels="stock")
    assert switched(made) == {}
    assert made.decision("kernels").reason == "SGLang's own model code"  # type: ignore[union-attr]
    assert once_certified(made) is None


def test_auto_is_stock_until_certified() -> None:
    assert reason(planned()) == (
        "SGLang's own model code: the fused kernels are faster here, but not certified yet for "
        "these weights on this host"
    )
    assert once_certified(planned()) == ("fused", f"{CERTIFY} FOLDER")
    assert "not certified" in reason(planned(kernels_certified=("0.5.15",)))
    made = planned(kernels_certified=("0.5.16",))
    assert switched(made) == ALL
    assert reason(made) == "certified for these weights on this host"
    assert made.decision("kernels").status == "verified"  # type: ignore[union-attr]
    assert once_certified(made) is None
    assert not [w for w in made.warnings if w.code == "kernels-stock"]


def test_the_folder_to_certify_is_named() -> None:
    local = once_certified(planned(model_path="/my models/E2B"))
    assert local == ("fused", f"{CERTIFY} '/my models/E2B'")
    hub = once_certified(planned(model_path="me/gemma-4-E2B-it"))
    assert hub == ("fused", f"{CERTIFY} FOLDER")


@pytest.mark.usefixtures("fewer_measured")
@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        *(
            (
                {"model": name},
                f"the fused kernels are not measured to be faster for {name} on sm_90",
            )
            for name in ("12B", "31B")
        ),
        ({"mtp": True}, "the speed of the fused kernels is not measured with MTP"),
        (
            {"extra_args": ("--speculative-algorithm", "NEXTN")},
            "the speed of the fused kernels is not measured with MTP",
        ),
    ],
)
def test_auto_is_stock_where_nothing_is_measured(fields: dict[str, Any], problem: str) -> None:
    made = planned(kernels_certified=("0.5.16",), **fields)
    assert reason(made) == f"SGLang's own model code: {problem}"
    assert once_certified(made) is None
    assert switched(made) == {}


MANY = {"model": "26B-A4B", "concurrency": 512}  # a load that two GPUs or more hold


@pytest.mark.parametrize("fields", [{"tp": 2}, {"extra_args": ("--tp-size", "2")}, MANY])
def test_a_receipt_of_one_gpu_says_nothing_of_two(fields: dict[str, Any]) -> None:
    made = planned(gpus=2, kernels_certified=("0.5.16",), **fields)
    assert made.value("tensor_parallel_size") == 2
    problem = "the fused kernels are not measured with tensor parallelism"
    assert reason(made) == f"SGLang's own model code: {problem}"
    assert once_certified(made) is None and switched(made) == {}
    asked = planned(gpus=2, kernels="fused", **fields)
    assert switched(asked) == ALL
    assert asked.decision("kernels").status == "estimated"  # type: ignore[union-attr]


def test_nothing_is_to_be_certified_where_the_load_takes_two_gpus() -> None:
    made = planned(gpus=2, **MANY)
    assert made.value("tensor_parallel_size") == 2
    assert once_certified(made) is None and "tensor parallelism" in reason(made)
    alone = planned(gpus=1, model="26B-A4B")
    assert once_certified(alone) is not None


def test_auto_stays_stock_elsewhere_without_a_warning() -> None:
    made = planned("B200")
    assert "the kernels are made for sm_90, not sm_100" in reason(made)
    assert not [w for w in made.warnings if w.code == "kernels-stock"]


def reason(made: Plan) -> str:
    decision = made.decision("kernels")
    assert decision is not None
    return decision.reason


def once_certified(made: Plan) -> tuple[object, str] | None:
    """What the plan says would be faster, and how to certify it."""
    decision = made.decision(ONCE_CERTIFIED)
    return (decision.value, decision.reason) if decision else None
