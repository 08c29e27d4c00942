from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.hardware import visible
from gemma4ctl.hardware.inventory import Device, Inventory, Slice

Detect = Callable[..., Inventory]
UUIDS = [f"GPU-{n}{n}{n}{n}aaaa-0000-4000-8000-000000000000" for n in range(4)]
MIG = ["MIG-00aa", "MIG-00bb", "MIG-1111"]


def host(vendor: str = "nvidia", count: int = 4, mig: bool = False) -> tuple[Device, ...]:
    return tuple(
        Device.model_validate(
            {
                "index": index,
                "vendor": vendor,
                "name": "X",
                "uuid": UUIDS[index],
                "mig_enabled": mig and index == 0,
                "slices": [Slice(uuid=uuid) for uuid in MIG] if mig and index == 0 else (),
            }
        )
        for index in range(count)
    )


def seen(result: visible.Visibility) -> list[int]:
    return [device.index for device in result.devices if device.visible]


@pytest.mark.parametrize(
    ("value", "left", "problems"),
    [
        ("0", [0], 0),
        ("2,0", [0, 2], 0),
        (" 1 , 3 ", [1, 3], 0),
        ("1,1", [1], 0),
        ("", [], 0),
        ("-1", [], 0),
        ("0,-1,2", [0], 0),
        ("1,9,0", [1], 1),
        ("x", [], 1),
        ("1,,2", [1], 1),
        (UUIDS[2], [2], 0),
        (UUIDS[2].lower()[:9], [2], 0),
        ("GPU-3333", [3], 0),
        ("GPU-", [], 1),
        ("GPU-9999,0", [], 1),
        ("0:0", [], 1),
        ("²", [], 1),
    ],
)
def test_cuda_lists(value: str, left: list[int], problems: int) -> None:
    result = visible.apply(host(), {"CUDA_VISIBLE_DEVICES": value})
    assert seen(result) == left
    assert result.honoured == {"CUDA_VISIBLE_DEVICES": value}
    assert len(result.problems) == problems


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("all", [0, 1, 2, 3]),
        ("ALL", [0, 1, 2, 3]),
        ("none", []),
        ("void", []),
        ("", []),
        ("1,2", [1, 2]),
        (UUIDS[0], [0]),
    ],
)
def test_container_lists(value: str, left: list[int]) -> None:
    assert seen(visible.apply(host(), {"NVIDIA_VISIBLE_DEVICES": value})) == left


def test_the_container_variable_was_applied_before_us_inside_a_container() -> None:
    environ = {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": "1"}
    result = visible.apply(host(), environ, in_container=True)
    assert seen(result) == [1]
    assert list(result.honoured) == ["CUDA_VISIBLE_DEVICES"]


def test_cuda_counts_what_the_container_variable_left() -> None:
    environ = {"NVIDIA_VISIBLE_DEVICES": "1,3", "CUDA_VISIBLE_DEVICES": "1"}
    assert seen(visible.apply(host(), environ)) == [3]


def test_an_ambiguous_prefix_names_nothing() -> None:
    twins = (host()[0], host()[1].model_copy(update={"uuid": UUIDS[0][:-1] + "1"}))
    result = visible.apply(twins, {"CUDA_VISIBLE_DEVICES": UUIDS[0][:12]})
    assert seen(result) == [] and len(result.problems) == 1


@pytest.mark.parametrize(
    ("variable", "value", "slices", "left"),
    [
        ("CUDA_VISIBLE_DEVICES", "MIG-00bb", ["MIG-00bb"], [0]),
        ("CUDA_VISIBLE_DEVICES", "MIG-1", ["MIG-1111"], [0]),
        ("CUDA_VISIBLE_DEVICES", "MIG-00", [], []),
        ("CUDA_VISIBLE_DEVICES", "0", MIG, [0]),
        ("CUDA_VISIBLE_DEVICES", "1", [], [1]),
        ("CUDA_VISIBLE_DEVICES", "MIG-00aa,2", ["MIG-00aa"], [0, 2]),
        ("NVIDIA_VISIBLE_DEVICES", "0:1", ["MIG-00bb"], [0]),
        ("NVIDIA_VISIBLE_DEVICES", "0:9", [], []),
        ("NVIDIA_VISIBLE_DEVICES", "9:0", [], []),
    ],
)
def test_slices(variable: str, value: str, slices: list[str], left: list[int]) -> None:
    result = visible.apply(host(mig=True), {variable: value})
    assert [item.uuid for item in result.devices[0].slices if item.visible] == slices
    assert seen(result) == left


@pytest.mark.parametrize(
    ("environ", "left"),
    [
        ({"ROCR_VISIBLE_DEVICES": "1,2"}, [1, 2]),
        ({"HIP_VISIBLE_DEVICES": "0"}, [0]),
        ({"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, [2]),
        ({"ROCR_VISIBLE_DEVICES": UUIDS[3]}, [3]),
        ({"CUDA_VISIBLE_DEVICES": "2"}, [2]),
        ({"CUDA_VISIBLE_DEVICES": "2", "HIP_VISIBLE_DEVICES": "3"}, [3]),
        ({"NVIDIA_VISIBLE_DEVICES": "none"}, [0, 1, 2, 3]),
    ],
)
def test_amd(environ: dict[str, str], left: list[int]) -> None:
    assert seen(visible.apply(host("amd"), environ)) == left


def test_each_vendor_listens_to_its_own_variable() -> None:
    amd = tuple(device.model_copy(update={"index": device.index + 2}) for device in host("amd", 2))
    intel = host("intel", 1)[0].model_copy(update={"index": 4})
    environ = {"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}
    result = visible.apply((*host(count=2), *amd, intel), environ)
    assert seen(result) == [1, 2, 4]


def test_numbers_on_a_mixed_host_are_warned_about(detected: Detect) -> None:
    (problem,) = detected("mixed-nvidia", {"CUDA_VISIBLE_DEVICES": "0"}).problems
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in problem
    ordered = {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert detected("mixed-nvidia", ordered).problems == ()
    assert detected("mixed-nvidia", {"CUDA_VISIBLE_DEVICES": "GPU-5090"}).problems == ()
    assert detected("gb200", {"CUDA_VISIBLE_DEVICES": "0"}).problems == ()


def test_detection_applies_the_variables(detected: Detect) -> None:
    inventory = detected("gb200", {"CUDA_VISIBLE_DEVICES": "3,1"})
    assert [gpu.visible for gpu in inventory.devices] == [False, True, False, True]
    assert inventory.visibility == {"CUDA_VISIBLE_DEVICES": "3,1"}


entries = st.one_of(
    st.text(max_size=12),
    st.integers(-3, 12).map(str),
    st.sampled_from([*UUIDS, *MIG, "all", "none", "void", "GPU-1111", "0:1"]),
)


@given(
    st.sampled_from(["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"]),
    st.one_of(st.text(max_size=40), st.lists(entries, max_size=6).map(",".join)),
    st.sampled_from(["nvidia", "amd"]),
)
def test_any_value_hides_or_shows_and_changes_nothing_else(
    variable: str, value: str, vendor: str
) -> None:
    devices = host(vendor, mig=vendor == "nvidia")
    result = visible.apply(devices, {variable: value})
    everything = [
        device.model_copy(
            update={
                "visible": True,
                "slices": tuple(s.model_copy(update={"visible": True}) for s in device.slices),
            }
        )
        for device in result.devices
    ]
    assert tuple(everything) == devices
