"""The real H100 host under ``fixtures/captured``: every source must tell the same story."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gemma4ctl.hardware.inventory import Inventory

from .recorded import FIXTURES

CAPTURED = FIXTURES / "captured"


def text(name: str) -> str:
    return (CAPTURED / name).read_text(encoding="utf-8")


@pytest.fixture
def host() -> dict[str, Any]:
    nvml = json.loads(text("nvml.json"))
    # the capture wrote the PCI address of a link's other end as text
    return {
        "files": {"/proc/meminfo": text("meminfo.txt"), "/proc/self/cgroup": text("cgroup.txt")},
        "machine": text("uname.txt").split()[-2],
        "nvml": nvml,
        "commands": {
            "nvidia-smi": text("query-gpu.csv"),
            "nvidia-smi -L": text("L.txt"),
            "nvidia-smi topo -m": text("topo.txt"),
            "nvidia-smi --query-compute-apps=gpu_uuid,pid,used_memory,process_name "
            "--format=csv,noheader": "",
            "nvidia-smi -q -x": "",
        },
    }


@pytest.mark.parametrize(("without", "source"), [((), "nvml"), (("nvml",), "cli")])
def test_h100(
    host: dict[str, Any],
    detected: Callable[..., Inventory],
    without: tuple[str, ...],
    source: str,
) -> None:
    inventory = detected(host, without=without)
    (gpu,) = inventory.devices
    assert inventory.source == source
    assert (gpu.name, gpu.architecture) == ("NVIDIA H100 80GB HBM3", "sm_90")
    assert gpu.uuid == "GPU-00000000-1111-2222-3333-444444444444"
    assert gpu.pci_bus_id == "0000:00:06.0"
    assert gpu.memory_total_mib == 81559
    assert gpu.memory_free_mib in (81078, 81079)  # NVML gives bytes, nvidia-smi rounds
    assert gpu.health.status == "ok"
    assert not gpu.mig_enabled and not gpu.slices and not gpu.processes and not inventory.links
    assert inventory.host.driver_version == "580.159.04"
    assert inventory.host.cpu_architecture == "x86_64"
    assert inventory.host.ram_total_mib == 131981020 // 1024
    assert inventory.host.ram_available_mib == 131433432 // 1024
    assert inventory.host.swap_total_mib == 0
    assert inventory.problems == ()


def test_cuda_version_comes_from_nvml(
    host: dict[str, Any], detected: Callable[..., Inventory]
) -> None:
    inventory = detected(host)
    assert inventory.host.cuda_driver_version == "13.0"
    assert inventory.host.sources["cuda_driver_version"] == "nvml"
