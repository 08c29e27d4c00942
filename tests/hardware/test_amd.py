from __future__ import annotations

from collections.abc import Callable

import pytest

from gemma4ctl.hardware.inventory import Inventory

from .recorded import recorded

Detect = Callable[..., Inventory]


@pytest.mark.parametrize(
    ("host", "source", "tool"),
    [
        ("mi300x-amdsmi", "amdsmi", "amdsmi"),
        ("mi300x-amd-smi", "cli", "amd-smi"),
        ("mi300x-rocm-smi", "cli", "rocm-smi"),
        ("mi300x-sysfs", "sysfs", "sysfs"),
    ],
)
def test_every_source_sees_the_same_mi300x(
    detected: Detect, host: str, source: str, tool: str
) -> None:
    inventory = detected(host)
    assert inventory.source == source
    first, second = inventory.devices
    assert (first.index, second.index) == (0, 1)
    assert first.uuid == "GPU-0cee36ddc4255115" and second.uuid == "GPU-cfb3160d6c053160"
    assert first.pci_bus_id == "0000:26:00.0" and second.pci_bus_id == "0000:46:00.0"
    for gpu in inventory.devices:
        assert gpu.name == "AMD Instinct MI300X OAM"
        assert gpu.architecture == "gfx942" and gpu.source == tool
        assert gpu.memory_total_mib == 196592
        assert (gpu.compute_partition, gpu.memory_partition) == ("SPX", "NPS1")
        assert gpu.parent is None
    assert second.memory_free_mib == 196592 - 284
    assert inventory.host.rocm_version == "7.0.2"
    assert inventory.host.driver_version == "6.10.5"
    assert inventory.problems == ()


@pytest.mark.parametrize("host", ["mi300x-amdsmi", "mi300x-amd-smi", "mi300x-sysfs"])
def test_xgmi_links(detected: Detect, host: str) -> None:
    (link,) = detected(host).links
    assert (link.a, link.b, link.kind) == (0, 1, "xgmi")


def test_processes_that_hold_memory(detected: Detect) -> None:
    (process,) = detected("mi300x-amd-smi").devices[0].processes
    assert (process.pid, process.name, process.memory_mib) == (15910, "python3", 1024)
    (process,) = detected("mi300x-amdsmi").devices[1].processes
    assert (process.pid, process.name, process.memory_mib) == (4242, "sglang", 8192)


@pytest.mark.parametrize(
    ("host", "name", "architecture", "memory"),
    [
        ("mi300x-amd-smi", "AMD Instinct MI300X OAM", "gfx942", 196592),
        ("mi325x-amd-smi", "AMD Instinct Mi325X VF", "gfx942", 261824),
        ("mi350x-amd-smi", "AMD Instinct MI350X", "gfx950", 294896),
        ("mi355x-amd-smi", "AMD Instinct MI355X", "gfx950", 294896),
    ],
)
def test_models_are_told_apart(
    detected: Detect, host: str, name: str, architecture: str, memory: int
) -> None:
    gpu = detected(host).devices[0]
    assert (gpu.name, gpu.architecture, gpu.memory_total_mib) == (name, architecture, memory)


@pytest.mark.parametrize(
    ("device_id", "name"),
    [
        (0x74A1, "AMD Instinct MI300X"),
        (0x74A5, "AMD Instinct MI325X"),
        (0x75A0, "AMD Instinct MI350X"),
        (0x75A3, "AMD Instinct MI355X"),
        (0x1234, "AMD GPU"),
    ],
)
def test_models_without_a_name_are_told_apart_by_their_id(
    detected: Detect, device_id: int, name: str
) -> None:
    host = recorded("mi300x-sysfs")
    host["files"] = {
        path: text.replace("device_id 29857", f"device_id {device_id}")
        for path, text in host["files"].items()
        if not path.endswith("product_name")
    }
    assert {gpu.name for gpu in detected(host).devices} == {name}


@pytest.mark.parametrize("without", [(), ("commands",)])
def test_partitions_have_their_own_memory_and_their_cards_name(
    detected: Detect, without: tuple[str, ...]
) -> None:
    inventory = detected("mi300x-cpx-nps4", without=without)
    assert len(inventory.devices) == 8
    for position, partition in enumerate(inventory.devices):
        assert partition.index == position
        assert partition.name == "AMD Instinct MI300X"
        assert partition.architecture == "gfx942"
        assert partition.parent == "0000:a4:00.0"
        assert partition.pci_bus_id == f"0000:a4:00.{position}"
        assert partition.uuid is None  # the card's id is no partition's id
        assert (partition.compute_partition, partition.memory_partition) == ("CPX", "NPS4")
        assert partition.memory_total_mib == 24574
        assert partition.memory_free_mib is None  # the tool's use is the whole card's
        assert partition.sources == {"memory_total_mib": "kfd"}
    assert {unit.kind for unit in inventory.units} == {"partition"}
    assert inventory.problems == ()


def test_partitions_without_the_kernels_word_have_no_memory(detected: Detect) -> None:
    inventory = detected("mi300x-cpx-nps4", without=("files",))
    assert len(inventory.devices) == 8
    assert {gpu.memory_total_mib for gpu in inventory.devices} == {None}
    assert {gpu.health.status for gpu in inventory.devices} == {"unreadable"}
    assert len(inventory.problems) == 8


def test_a_partition_whose_tool_agrees_with_the_kernel_has_free_memory(detected: Detect) -> None:
    host = recorded("mi300x-cpx-nps4")
    line = "amd-smi metric --mem-usage --ecc --json"
    for record in host["commands"][line]["gpu_data"]:
        record["mem_usage"]["total_vram"]["value"] = 24574
    assert {gpu.memory_free_mib for gpu in detected(host).devices} == {24574 - 297}


def test_uncorrected_errors_degrade(detected: Detect) -> None:
    host = recorded("mi300x-amd-smi")
    line = "amd-smi metric --mem-usage --ecc --json"
    host["commands"][line]["gpu_data"][0]["ecc"]["total_uncorrectable_count"] = 2
    first, second = detected(host).devices
    assert first.health.reasons == ("2 uncorrected ECC error(s)",)
    assert (first.health.status, second.health.status) == ("degraded", "ok")


def test_library_errors_degrade(detected: Detect) -> None:
    host = recorded("mi300x-amdsmi")
    host["amdsmi"]["gpus"][0]["amdsmi_get_gpu_total_ecc_count"]["uncorrectable_count"] = 1
    del host["amdsmi"]["gpus"][1]["amdsmi_get_gpu_total_ecc_count"]
    first, second = detected(host).devices
    assert second.health.status == "degraded"
    assert first.health.status == "unknown"


def test_a_gpu_that_says_nothing_is_unreadable(detected: Detect) -> None:
    host = {"amdsmi": {"gpus": [{}]}}
    inventory = detected(host)
    (gpu,) = inventory.devices
    assert (gpu.name, gpu.memory_total_mib, gpu.health.status) == ("AMD GPU", None, "unreadable")
    assert len(inventory.problems) == 1


def test_an_older_librarys_partition_profile_is_read(detected: Detect) -> None:
    host = recorded("mi300x-amdsmi")
    for gpu in host["amdsmi"]["gpus"]:
        del gpu["amdsmi_get_gpu_compute_partition"]
        gpu["amdsmi_get_gpu_accelerator_partition_profile"] = {
            "partition_id": [0],
            "partition_profile": {"profile_type": "SPX", "num_partitions": 1},
        }
    assert {gpu.compute_partition for gpu in detected(host).devices} == {"SPX"}


def test_the_librarys_chatter_stays_off_stdout(
    detected: Detect, capfd: pytest.CaptureFixture[str]
) -> None:
    assert detected("mi300x-amdsmi").devices  # its shut-down function prints
    assert capfd.readouterr().out == ""


def test_static_alone_is_enough(detected: Detect) -> None:
    host = recorded("mi355x-amd-smi")
    host["commands"] = {"amd-smi static --json": host["commands"]["amd-smi static --json"]}
    (gpu,) = detected(host).devices
    assert gpu.memory_total_mib == 294896 and gpu.memory_free_mib is None
    assert gpu.health.status == "unknown"


def test_a_card_is_matched_to_its_node_by_unique_id(detected: Detect) -> None:
    host = recorded("mi300x-sysfs")
    host["commands"] = {
        "rocm-smi": {
            "card0": {
                "Card series": "0x74a1",
                "Unique ID": "0xcfb3160d6c053160",
                "VRAM Total Memory (B)": str(196592 << 20),
                "VRAM Total Used Memory (B)": "0",
            },
            "other": 3,
        }
    }
    (gpu,) = detected(host).devices
    assert gpu.name == "AMD Instinct MI300X" and gpu.pci_bus_id == "0000:46:00.0"
    assert gpu.architecture == "gfx942"
    assert gpu.memory_free_mib == 196592


def test_both_vendors_are_listed_under_one_numbering(detected: Detect) -> None:
    host = recorded("mi300x-amd-smi")
    host["nvml"] = recorded("mixed-nvidia")["nvml"]
    inventory = detected(host)
    assert [(gpu.index, gpu.vendor) for gpu in inventory.devices] == [
        (0, "nvidia"),
        (1, "nvidia"),
        (2, "amd"),
        (3, "amd"),
    ]
    assert inventory.source == "nvml"
    assert [(link.a, link.b, link.kind) for link in inventory.links] == [(2, 3, "xgmi")]
    assert inventory.host.driver_version == "580.65.06"
    assert inventory.host.rocm_version == "7.0.2"
