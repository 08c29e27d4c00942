from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.hardware.access import Access, Completed
from gemma4ctl.hardware.inventory import Host, Inventory, Link
from gemma4ctl.hardware.nvidia import nvidia_smi, nvml, xid

from .recorded import FakeNvml, recorded

Detect = Callable[..., Inventory]


@pytest.mark.parametrize(("without", "source"), [((), "nvml"), (("nvml",), "nvidia-smi")])
def test_mig_slices_lie_under_their_card(
    detected: Detect, without: tuple[str, ...], source: str
) -> None:
    inventory = detected("h100-mig", without=without)
    card, *whole = inventory.devices
    assert {gpu.source for gpu in inventory.devices} == {source}
    assert card.mig_enabled and not any(gpu.mig_enabled for gpu in whole)
    assert [(s.profile, s.memory_total_mib, s.memory_free_mib) for s in card.slices] == [
        ("1g.20gb", 20096, 20080),
        ("1g.10gb", 9984, 9968),
        ("1g.10gb", 9984, 9968),
    ]
    assert card.slices[0].uuid == "MIG-667481b3-d832-5bc3-81ee-2f27a4f6cdf2"
    assert [unit.kind for unit in inventory.units] == ["mig"] * 3 + ["gpu"] * 2
    assert inventory.links == (Link(a=1, b=2, kind="nvlink", count=18),)
    assert inventory.host.driver_version == "575.57.08"
    assert inventory.host.cuda_driver_version == "12.9"
    assert inventory.problems == ()


def test_nvidia_smi_processes(detected: Detect) -> None:
    _, first, second = detected("h100-mig", without=("nvml",)).devices
    (process,) = first.processes
    assert (process.pid, process.name, process.memory_mib) == (
        2211,
        "/usr/bin/python3, --serve",
        2048,
    )
    assert second.processes[0].memory_mib is None and second.processes[0].name is None


def test_gb200_is_joined_through_switches_on_arm(detected: Detect) -> None:
    inventory = detected("gb200")
    assert inventory.host.cpu_architecture == "aarch64"
    assert inventory.host.ram_total_mib == 489960 + 489823  # not the GPUs' memory nodes
    assert inventory.host.ram_available_mib == 1700000 - 4 * 187416
    assert inventory.host.sources["ram_total_mib"] == "/sys/devices/system/node"
    assert [gpu.pci_bus_id for gpu in inventory.devices] == [
        "0008:01:00.0",
        "0009:01:00.0",
        "0018:01:00.0",
        "0019:01:00.0",
    ]
    assert {gpu.architecture for gpu in inventory.devices} == {"sm_100"}
    assert {gpu.memory_total_mib for gpu in inventory.devices} == {189471}
    assert not any(gpu.unified_memory for gpu in inventory.devices)
    assert [(link.a, link.b, link.count) for link in inventory.links] == [
        (a, b, 18) for a in range(4) for b in range(a + 1, 4)
    ]


@pytest.mark.parametrize(
    ("name", "without"), [("gb10", ()), ("gb10", ("nvml",)), ("gb10-system-ram", ())]
)
def test_gb10_works_in_the_hosts_memory(
    detected: Detect, name: str, without: tuple[str, ...]
) -> None:
    inventory = detected(name, without=without)
    (gpu,) = inventory.devices
    assert gpu.unified_memory
    assert (gpu.memory_total_mib, gpu.memory_free_mib) == (124610, 115787)
    assert gpu.sources == {
        "memory_total_mib": "/proc/meminfo",
        "memory_free_mib": "/proc/meminfo",
    }
    assert gpu.architecture == "sm_121" and gpu.pci_bus_id == "000f:01:00.0"
    assert gpu.health.status == "ok"
    assert inventory.problems == ()


@pytest.mark.parametrize("without", [(), ("nvml",)])
def test_memory_that_is_not_supported_elsewhere_stays_unknown(
    detected: Detect, without: tuple[str, ...]
) -> None:
    host = recorded("gb10")
    host["nvml"]["devices"][0]["Name"] = "NVIDIA H100 80GB HBM3"
    host["commands"] = {
        line: answer.replace("NVIDIA GB10", "NVIDIA H100 80GB HBM3")
        for line, answer in host["commands"].items()
    }
    (gpu,) = (inventory := detected(host, without=without)).devices
    assert gpu.memory_total_mib is None and gpu.memory_free_mib is None
    assert not gpu.unified_memory and gpu.health.status == "unreadable"
    assert "memory cannot be read" in inventory.problems[0]


def test_no_memory_is_not_believed(detected: Detect) -> None:
    host = recorded("gb200")
    host["nvml"]["devices"][0]["MemoryInfo"] = {"total": 0, "free": 0, "used": 0}
    gpu = detected(host).devices[0]
    assert gpu.memory_total_mib is None and gpu.health.status == "unreadable"


def test_processes_of_both_kinds_are_named(detected: Detect) -> None:
    first, second = detected("mixed-nvidia").devices
    assert [(p.pid, p.name, p.memory_mib) for p in first.processes] == [
        (777, "python3", 2500),
        (888, None, None),
        (1234, "Xorg", 500),
    ]
    assert second.processes == ()
    assert (first.architecture, second.architecture) == ("sm_89", "sm_120")


def test_p2p_that_is_off_is_no_link(detected: Detect) -> None:
    host = recorded("gb200")
    host["nvml"]["p2p"] = 5
    assert detected(host).links == ()


def test_direct_links_are_counted_where_p2p_cannot_be_asked(detected: Detect) -> None:
    host = recorded("gb200")
    del host["nvml"]["p2p"]
    first, second, third, fourth = host["nvml"]["devices"]
    first["NvLink"] = [[1, 0, "00000009:01:00.0"]] * 4 + [[0, 0, ""]]
    second["NvLink"] = [[1, 0, "00000008:01:00.0"]] * 4
    third["NvLink"] = fourth["NvLink"] = []
    assert detected(host).links == (Link(a=0, b=1, kind="nvlink", count=4),)


def test_lost_and_ailing_gpus_through_nvml(detected: Detect) -> None:
    inventory = detected("lost")
    good, no_handle, lost_later, ailing = inventory.devices
    assert good.health.status == "ok"
    assert no_handle.health.status == "lost" and no_handle.memory_total_mib is None
    assert lost_later.health.status == "lost" and lost_later.memory_total_mib is None
    assert lost_later.uuid == "GPU-cccc0000-0000-4000-8000-000000000002"
    assert ailing.health.status == "degraded"
    assert len(ailing.health.reasons) == 5
    assert sum("lost" in problem for problem in inventory.problems) == 2


def test_lost_and_ailing_gpus_through_nvidia_smi(detected: Detect) -> None:
    inventory = detected("lost", without=("nvml",))
    ailing, no_handle, lost_later, unreadable = inventory.devices
    assert [gpu.index for gpu in inventory.devices] == [0, 1, 2, 3]
    assert ailing.health.status == "degraded" and len(ailing.health.reasons) == 5
    assert no_handle.pci_bus_id == "0000:02:00.0" and no_handle.health.status == "lost"
    assert lost_later.health.status == "lost" and lost_later.architecture is None
    assert unreadable.health.status == "unreadable" and unreadable.memory_total_mib is None
    assert len(inventory.problems) == 3


def test_a_handle_that_cannot_be_had_is_unreadable(detected: Detect) -> None:
    host = recorded("lost")
    host["nvml"]["devices"][1] = {"$error": "NVMLError_NoPermission"}
    assert detected(host).devices[1].health.status == "unreadable"


def test_rows_waiting_for_remapping_degrade(detected: Detect) -> None:
    host = recorded("lost")
    host["nvml"]["devices"][0]["RemappedRows"] = [0, 1, 1, 0]
    (reason,) = detected(host).devices[0].health.reasons
    assert "wait for remapping" in reason


def test_another_version_of_the_library_is_a_problem(detected: Detect) -> None:
    inventory = detected("broken")
    assert inventory.source == "none" and inventory.devices == ()
    text = "\n".join(inventory.problems)
    assert "different versions" in text
    assert "couldn't communicate with the NVIDIA driver" in text
    assert "1 NVIDIA GPU(s) on the PCI bus (0000:01:00.0)" in text
    assert "1 AMD GPU(s) on the PCI bus (0000:26:00.0)" in text


@pytest.mark.parametrize("error", ["NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded"])
def test_no_driver_is_no_problem(detected: Detect, error: str) -> None:
    host = {"nvml": {"init": {"$error": error}, "devices": []}}
    assert detected(host).problems == ()


def test_another_failure_to_start_is_named(detected: Detect) -> None:
    host = {"nvml": {"init": {"$error": "NVMLError_IrqIssue"}, "devices": []}}
    assert detected(host).problems[0].startswith("NVML does not start")


@pytest.mark.parametrize(
    "answer", ["No devices were found\n", {"$status": 0, "stdout": "hello"}, {"$status": 3}]
)
def test_the_tool_without_a_gpu_is_no_gpu(detected: Detect, answer: object) -> None:
    inventory = detected({"commands": {"nvidia-smi": answer}})
    assert inventory.devices == () and inventory.problems == () and inventory.source == "none"


def test_an_old_driver_gets_the_old_query(tmp_path: Path) -> None:
    asked = []

    def run(argv: list[str]) -> Completed:
        asked.append(argv)
        if "compute_cap" in argv[1]:
            return Completed(2, 'Field "compute_cap" is not a valid field to query.\n')
        if argv[1].startswith("--query-gpu"):
            header = "index, name, uuid, pci.bus_id, memory.total [MiB], memory.free [MiB], "
            row = "0, Tesla V100, GPU-x, 00000000:01:00.0, 16160 MiB, 16000 MiB, 410.1\n"
            return Completed(0, f"{header}driver_version\n{row}")
        return Completed(1, "")

    reading = nvidia_smi.read(Access(root=tmp_path, run=run), Host())
    (gpu,) = reading.devices
    assert gpu.memory_total_mib == 16160 and gpu.architecture is None
    assert gpu.health.status == "unknown"
    assert reading.host == {"driver_version": "410.1"}
    assert len([argv for argv in asked if argv[1].startswith("--query-gpu")]) == 3


def test_a_library_that_does_not_import_is_skipped(tmp_path: Path) -> None:
    def load(name: str) -> object:
        raise RuntimeError(name)

    assert nvml.read(Access(root=tmp_path, load=load), Host()).devices == ()


def test_the_library_is_always_shut_down(tmp_path: Path) -> None:
    library = FakeNvml(recorded("lost")["nvml"])
    nvml.read(Access(root=tmp_path, load=lambda name: library), Host())
    assert not library.running


def test_names_in_bytes_are_decoded(tmp_path: Path) -> None:
    record = recorded("gb200")["nvml"]
    record["driver"] = b"580.1"
    record["devices"] = record["devices"][:1]
    record["devices"][0] |= {"Name": b"NVIDIA GB200", "PciInfo": {"busId": b"00000008:01:00.0"}}
    reading = nvml.read(Access(root=tmp_path, load=lambda name: FakeNvml(record)), Host())
    assert reading.devices[0].name == "NVIDIA GB200"
    assert reading.devices[0].pci_bus_id == "0008:01:00.0"
    assert reading.host["driver_version"] == "580.1"


def test_processes_in_a_container_are_not_named_by_its_own(detected: Detect) -> None:
    host = recorded("mixed-nvidia")
    host["files"]["/.dockerenv"] = ""
    assert [process.name for process in detected(host).devices[0].processes] == [None] * 3


def test_a_library_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    library = FakeNvml(recorded("gb200")["nvml"])
    library.nvmlDeviceGetCount = None  # type: ignore[assignment,method-assign]
    reading = nvml.read(Access(root=tmp_path, load=lambda name: library), Host())
    assert reading.devices == () and "NVML cannot be read" in reading.problems[0]


LOG = """
[  1.0] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  570.158.01
[ 99.1] NVRM: Xid (PCI:0000:01:00): 31, pid=7, name=python3, MMU Fault
[ 99.2] NVRM: Xid (PCI:0000:C1:00): 74, pid='<unknown>', name=<unknown>, NVLink: fatal error
[ 99.3] NVRM: Xid (PCI:0000:C1:00): 74, pid='<unknown>', name=<unknown>, NVLink: fatal error
[ 99.4] NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus
"""


def test_hardware_events_of_the_kernel_log_degrade(detected: Detect) -> None:
    host = recorded("mixed-nvidia")
    host["commands"] = {"dmesg": LOG}
    first, second = detected(host).devices
    assert first.health.status == "ok"  # XID 31 is the fault of a program
    assert second.health.reasons == ("XID 74 since boot: NVLink error",)


def test_events_come_after_other_reasons_and_spare_the_lost(detected: Detect) -> None:
    host = recorded("lost")
    host["commands"] = {
        "dmesg": "NVRM: Xid (PCI:0000:04:00): 95, x\nNVRM: Xid (PCI:00000000:03:00): 79, y"
    }
    _, _, lost_later, ailing = detected(host).devices
    assert lost_later.health.status == "lost" and len(lost_later.health.reasons) == 1
    assert len(ailing.health.reasons) == 6 and ailing.health.reasons[-1].startswith("XID 95")


def test_a_closed_kernel_log_says_nothing(detected: Detect) -> None:
    host = recorded("mixed-nvidia")
    host["commands"] = {"dmesg": {"$status": 1, "stdout": LOG}}
    assert {gpu.health.status for gpu in detected(host).devices} == {"ok"}


@given(st.text(max_size=100))
def test_any_log_is_read(text: str) -> None:
    assert xid.parse(text) == {} or "Xid" in text
