from __future__ import annotations

from collections.abc import Callable

import pytest

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.host import read_host
from gemma4ctl.hardware.inventory import Inventory

MEMINFO = "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nSwapTotal: 2097152 kB"
GIB = 1 << 30


def test_an_empty_machine(detected: Callable[..., Inventory]) -> None:
    inventory = detected("empty")
    assert inventory.source == "none"
    assert not inventory.devices and not inventory.links and not inventory.problems
    assert inventory.host.ram_total_mib == 65856380 // 1024
    assert inventory.host.swap_total_mib == 2097148 // 1024
    assert inventory.host.container is None


def test_the_tightest_cgroup_limit_counts(access: Callable[..., Access]) -> None:
    host = read_host(
        access(
            {
                "files": {
                    "/proc/meminfo": MEMINFO,
                    "/proc/self/cgroup": "1:cpu:/x\n0::/job/step",
                    "/sys/fs/cgroup/job/step/memory.max": "max",
                    "/sys/fs/cgroup/job/memory.max": str(2 * GIB),
                    "/sys/fs/cgroup/job/memory.current": str(GIB + GIB // 2),
                    "/sys/fs/cgroup/job/memory.stat": f"anon 1\ninactive_file {GIB // 2}",
                    "/sys/fs/cgroup/job/memory.swap.max": "0",
                }
            }
        ),
        {},
    )
    assert (host.ram_total_mib, host.ram_available_mib, host.swap_total_mib) == (2048, 1024, 0)
    assert host.sources["ram_total_mib"] == "/sys/fs/cgroup/job/memory.max"


def test_the_limit_of_an_old_cgroup_counts(access: Callable[..., Access]) -> None:
    old = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    host = read_host(access({"files": {"/proc/meminfo": MEMINFO, old: str(GIB)}}), {})
    assert host.ram_total_mib == 1024


def test_no_limit_in_an_old_cgroup_is_no_limit(access: Callable[..., Access]) -> None:
    old = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    files = {"/proc/meminfo": MEMINFO, old: "9223372036854771712"}
    assert read_host(access({"files": files}), {}).ram_total_mib == 8192


@pytest.mark.parametrize(
    ("files", "environ", "kind"),
    [
        ({}, {}, None),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"APPTAINER_CONTAINER": "/a.sif"}, "apptainer"),
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {}, "podman"),
        ({}, {"container": "lxc"}, "lxc"),
        ({"/run/systemd/container": "systemd-nspawn"}, {}, "systemd-nspawn"),
        ({"/proc/1/cgroup": "0::/kubepods/pod1"}, {}, "kubernetes"),
        ({"/proc/1/cgroup": "0::/system.slice/docker-1.scope"}, {}, "docker"),
        ({"/proc/1/cgroup": "0::/init.scope"}, {}, None),
    ],
)
def test_container(
    access: Callable[..., Access],
    files: dict[str, str],
    environ: dict[str, str],
    kind: str | None,
) -> None:
    host = read_host(access({"files": files}), environ)
    assert host.container == kind
    assert ("container" in host.sources) == (kind is not None)


def test_packages_and_shared_memory(access: Callable[..., Access]) -> None:
    record = {"packages": {"sglang": "0.5.16", "numpy": "2"}, "files": {"/dev/shm/x": ""}}
    host = read_host(access(record), {})
    assert host.packages == {"sglang": "0.5.16"}
    assert host.sources["packages"] == "package metadata"
    assert host.shm_total_mib is not None and host.sources["shm_total_mib"] == "/dev/shm"


def test_what_is_not_there_is_none(access: Callable[..., Access]) -> None:
    host = read_host(access({"machine": ""}), {})
    assert host.ram_total_mib is None and host.shm_total_mib is None
    assert host.cpu_architecture is None and host.sources == {}
