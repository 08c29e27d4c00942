"""Which devices a plan takes on awkward hosts. All hosts here are constructed."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.hardware.inventory import Inventory, Link
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.request import Request
from gemma4ctl.rendering.command import environment

from .hosts import gpu, host, mig, node, planned, sick, table

NVLINK = tuple(Link(a=a, b=b, kind="nvlink", count=18) for a, b in ((0, 1), (2, 3)))


def refusal(inventory: Inventory | str, **request: Any) -> NoPlanError:
    with pytest.raises(NoPlanError) as raised:
        planned(inventory, **request)
    assert raised.value.needed and raised.value.found
    return raised.value


def indices(inventory: Inventory, **request: Any) -> list[int]:
    return [unit.index for unit in planned(inventory, **request).hardware.units]


MIXED = host(gpu(0, "RTX-4090"), gpu(1), gpu(2, "RTX-4090"), gpu(3, "RTX-4090"), gpu(4, "RTX-4090"))


def test_mixed_host_plans_on_the_best_platform() -> None:
    plan = planned(MIXED, model="26B-A4B")
    assert (plan.hardware.platform, plan.hardware.host_gpu_count) == ("H200", 1)
    assert environment(plan) == {"CUDA_VISIBLE_DEVICES": "GPU-00000001-0000-0000-0000-000000000000"}


def test_mixed_host_with_a_count_takes_the_platform_that_has_so_many() -> None:
    plan = planned(MIXED, model="E4B", gpus=4)
    assert (plan.hardware.platform, plan.hardware.host_gpu_count) == ("RTX-4090", 4)


def test_ids_must_be_of_one_platform() -> None:
    assert refusal(MIXED, model="E2B", gpus=("0", "1")).code == "too-few-gpus"


def test_ids_are_taken_in_their_order_and_pinned() -> None:
    inventory = host(*(gpu(n) for n in range(4)))
    plan = planned(inventory, model="31B", gpus=("3", "1"), origins={"gpus": "flag"})
    devices = plan.decision("devices")
    assert devices and devices.origin == "flag"
    assert {unit.index for unit in plan.hardware.units} == {1, 3}
    assert plan.hardware.pinned
    one = planned(inventory, model="E2B", gpus=("GPU-00000002",))
    assert environment(one)["CUDA_VISIBLE_DEVICES"].startswith("GPU-00000002")


def test_unknown_id() -> None:
    with pytest.raises(UsageError, match="GPU '9' is not on this host"):
        planned(host(gpu(0)), model="E2B", gpus=("9",))


def test_count_above_what_the_host_has() -> None:
    error = refusal(host(gpu(0), gpu(1)), model="31B", gpus=4)
    assert error.code == "too-few-gpus"
    assert any(remedy.startswith("gemma4ctl suggest") for remedy in error.remedies)


def test_count_below_what_the_host_has() -> None:
    plan = planned(host(*(gpu(n) for n in range(8))), model="31B", gpus=2)
    assert plan.hardware.host_gpu_count == 2
    assert environment(plan)["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_whole_host_needs_no_pin() -> None:
    plan = planned(host(gpu(0), gpu(1)), model="31B")
    assert environment(plan) == {}
    assert not plan.hardware.pinned


def test_simulated_node_is_not_pinned() -> None:
    plan = planned("H200", model="31B")
    assert environment(plan) == {}
    assert plan.hardware.choice == "2 of a simulated node of 8"


def test_best_linked_pair() -> None:
    inventory = host(*(gpu(n) for n in range(4)), links=NVLINK[1:])
    assert indices(inventory, model="31B") == [2, 3]


def test_hidden_devices_are_not_used() -> None:
    inventory = host(gpu(0, visible=False), gpu(1))
    assert indices(inventory, model="E2B") == [1]
    assert "CUDA_VISIBLE_DEVICES" in environment(planned(inventory, model="E2B"))


# --- health


def test_degraded_gpus_are_the_last_choice() -> None:
    inventory = host(gpu(0, health=sick("degraded")), gpu(1), gpu(2))
    assert indices(inventory, model="31B") == [1, 2]
    plan = planned(host(gpu(0, health=sick("degraded")), gpu(1)), model="31B")
    codes = {warning.code for warning in plan.warnings}
    assert "gpu-degraded" in codes


def test_lost_gpus_are_left_out_and_named() -> None:
    plan = planned(host(gpu(0, health=sick("lost")), gpu(1)), model="31B")
    assert [unit.index for unit in plan.hardware.units] == [1]
    messages = {warning.code: warning.message for warning in plan.warnings}
    assert messages["gpu-left-out"] == "GPU 0 (NVIDIA H200) is lost: XID 79"
    assert "tp-below-recommended" in messages


@pytest.mark.parametrize(
    ("inventory", "request_", "message", "remedy"),
    [
        (node("GB10"), {"mtp": True}, "for 26B-A4B with MTP; this plan uses TP 1", "use 2 GPUs"),
        (node("H200"), {"mem_fraction": "0.25"}, "fit in 0.25 of the memory", "--mem-fraction"),
        (host(*(gpu(n, memory_free_mib=54_000) for n in (0, 1))), {}, "free memory", "end other"),
    ],
)
def test_why_a_plan_has_not_the_recommended_tp(
    inventory: Any, request_: dict[str, Any], message: str, remedy: str
) -> None:
    plan = planned(inventory, model="26B-A4B", **request_)
    told = next(w for w in plan.warnings if w.code.endswith("-recommended"))
    assert message in told.message and remedy in told.remedy


def test_nothing_but_lost_gpus() -> None:
    error = refusal(host(gpu(0, health=sick("lost"))), model="E2B")
    assert error.code == "no-usable-gpu"
    assert "lost" in str(error.found)
    assert "gemma4ctl suggest --model E2B --hardware H200" in error.remedies


def test_no_device_at_all() -> None:
    empty = Inventory(source="none", problems=("no NVIDIA driver is loaded",))
    error = refusal(empty, model="E2B")
    assert error.found == "no NVIDIA driver is loaded"


# --- MIG and partitions


def test_slices_work_alone() -> None:
    cards = host(mig(0, "H100", 40_192, 40_192), mig(1, "H100", 40_192, 40_192))
    plan = planned(cards, model="E4B")
    assert plan.value("tensor_parallel_size") == 1
    assert plan.hardware.units[0].kind == "mig"
    assert environment(plan)["CUDA_VISIBLE_DEVICES"].startswith("MIG-")
    assert refusal(cards, model="31B").code == "does-not-fit"
    assert refusal(cards, model="E4B", tp=2).code == "tp-indivisible"


def test_a_whole_gpu_beats_many_small_slices() -> None:
    inventory = host(mig(0, "H100", *[9_728] * 7), gpu(1, "H100", memory_free_mib=60_000))
    assert planned(inventory, model="12B").hardware.units[0].kind == "gpu"


def test_amd_partitions_may_work_together() -> None:
    parts = [
        gpu(n, "MI300X", memory_total_mib=24_574, memory_free_mib=24_300, parent="0000:05:00.0",
            compute_partition="CPX", memory_partition="NPS4")
        for n in range(8)
    ]  # fmt: skip
    plan = planned(host(*parts), model="26B-A4B")
    assert plan.hardware.units[0].kind == "partition"
    assert plan.value("tensor_parallel_size") == 8 or plan.value("tensor_parallel_size") == 4
    assert plan.hardware.memory_mib == 24_574


# --- GPUs and memory that the table does not know


def unlisted(index: int, **changes: Any) -> Any:
    fields = {
        "name": "NVIDIA RTX 6000 Ada Generation",
        "platform": None,
        "architecture": "sm_89",
        "memory_total_mib": 49_140,
        "memory_free_mib": 48_500,
    }
    return gpu(index, **(fields | changes))


def test_unlisted_gpu() -> None:
    plan = planned(host(unlisted(0), unlisted(1)), model="E4B")
    assert plan.hardware.platform == "NVIDIA RTX 6000 Ada Generation"
    assert plan.capacity and plan.capacity.full_layer_tokens > 8_192
    assert plan.decision("tensor_parallel_size").status == "estimated"  # type: ignore[union-attr]
    assert plan.value("attention_backend") == "triton"


def test_unlisted_gpu_without_memory_or_architecture() -> None:
    inventory = host(unlisted(0, memory_total_mib=None), unlisted(1, architecture=None))
    assert refusal(inventory, model="E2B").code == "no-usable-gpu"


def test_listed_gpu_whose_memory_could_not_be_read() -> None:
    inventory = host(gpu(0, memory_total_mib=None, memory_free_mib=None))
    plan = planned(inventory, model="12B")
    assert plan.capacity is None
    assert "memory-unknown" in {warning.code for warning in plan.warnings}
    assert plan.value("mem_fraction_static") == 0.85
    bare = planned(host(gpu(0, "L40S", memory_total_mib=None, memory_free_mib=None)), model="E2B")
    assert bare.value("mem_fraction_static") is None
    auto = planned(inventory, model="E2B", mem_fraction="auto")
    assert auto.value("mem_fraction_static") is None


def test_unified_memory() -> None:
    spark = host(
        gpu(0, "GB10", unified_memory=True, memory_free_mib=100_000), ram_total_mib=124_610
    )
    plan = planned(spark, model="26B-A4B", mtp=True)
    assert plan.value("tensor_parallel_size") == 1
    assert plan.capacity and plan.capacity.full_layer_tokens > 8_192
    assert float(str(plan.value("mem_fraction_static"))) * 100_000 < 100_000 - 10_000
    assert "host-ram-small" not in {warning.code for warning in plan.warnings}


def test_too_little_free_memory() -> None:
    error = refusal(host(gpu(0, memory_free_mib=20_000)), model="31B")
    assert error.code == "does-not-fit"
    assert "20,000 of 143,771 MiB free" in str(error.found)
    assert error.remedies[0].startswith("end what holds 123,")
    assert error.remedies[1] == "gemma4ctl suggest --model E2B"
    full = refusal(host(gpu(0, memory_free_mib=8_000)), model="31B")
    assert full.remedies[0].startswith("end what holds 135,")
    assert full.remedies[1:] == ("gemma4ctl suggest --model 31B --hardware H200",)


def test_platform_without_a_row_is_sized_by_fit() -> None:
    assert planned("L40S", model="31B").value("tensor_parallel_size") == 4
    assert planned("RTX-4090", model="12B").value("tensor_parallel_size") == 2
    assert planned(node("GB300", 4), model="31B").value("tensor_parallel_size") == 1


def test_unlisted_blackwell_gpu_serves_images_with_triton() -> None:
    inventory = host(unlisted(0, architecture="sm_100", memory_free_mib=None))
    assert planned(inventory, model="12B").value("attention_backend") == "triton"
    text = planned(inventory, model="12B", modalities=("text",))
    assert text.value("attention_backend") == "trtllm_mha"


def test_checkpoint_without_a_draft() -> None:
    rows = tuple(row.model_copy(update={"draft": None}) for row in table().checkpoints)
    profiles = table().model_copy(update={"checkpoints": rows})
    with pytest.raises(NoPlanError) as raised:
        plan(Request(model="E2B", mtp=True), node("H200"), profiles)
    assert raised.value.code == "mtp-no-draft"
    own = Request(model="E2B", mtp=True, draft_path="/models/draft")
    assert plan(own, node("H200"), profiles).variant.draft_path == "/models/draft"
