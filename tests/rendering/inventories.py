"""Inventories made by hand for the tables: invented hosts with one of everything."""

from __future__ import annotations

from gemma4ctl.hardware.inventory import Device, Health, Host, Inventory, Link, Process, Slice

H100 = {
    "vendor": "nvidia",
    "name": "NVIDIA H100 80GB HBM3",
    "platform": "H100",
    "architecture": "sm_90",
    "memory_total_mib": 81559,
}

NVIDIA = Inventory(
    source="nvml",
    devices=(
        Device(
            index=0,
            uuid="GPU-8f2b7c1e-1111-4a4a-8c8c-000000000003",
            memory_free_mib=81079,
            **H100,
        ),
        Device(
            index=1,
            uuid="GPU-8f2b7c1e-2222-4a4a-8c8c-000000000005",
            memory_free_mib=20000,
            visible=False,
            processes=(Process(pid=4711, name="python3", memory_mib=60000), Process(pid=4712)),
            **H100,
        ),
        Device(
            index=2,
            uuid="GPU-8f2b7c1e-3333-4a4a-8c8c-000000000007",
            memory_free_mib=81000,
            mig_enabled=True,
            slices=(
                Slice(
                    uuid="MIG-1c4b5a52-7e4d-5d6e-9a8b-0123456789ab",
                    profile="3g.40gb",
                    memory_total_mib=40320,
                    memory_free_mib=40000,
                ),
                Slice(
                    uuid="MIG-1c4b5a52-7e4d-5d6e-9a8b-0123456789ac",
                    memory_total_mib=10000,
                    visible=False,
                ),
            ),
            **H100,
        ),
        Device(
            index=3,
            vendor="nvidia",
            name="Unknown [card]",
            health=Health(status="lost", reasons=("fell off the bus (XID 79)",)),
        ),
    ),
    links=(
        Link(a=0, b=2, kind="nvlink", count=18),
        Link(a=0, b=1, kind="nvlink", count=18),
        Link(a=1, b=2, kind="pcie"),
    ),
    host=Host(
        cpu_architecture="x86_64",
        ram_total_mib=2063000,
        ram_available_mib=2000000,
        swap_total_mib=0,
        shm_total_mib=64,
        container="docker",
        driver_version="570.86.10",
        cuda_driver_version="12.8",
        packages={"sglang": "0.5.16", "torch": "2.11.0"},
        sources={"cpu_architecture": "uname", "ram_total_mib": "/proc/meminfo"},
    ),
    visibility={"CUDA_VISIBLE_DEVICES": "0,MIG-1c4b5a52-7e4d-5d6e-9a8b-0123456789ab"},
    problems=("GPU 3 fell off the bus and is left out: reset it or reboot the host.",),
)

AMD = Inventory(
    source="amdsmi",
    devices=tuple(
        Device(
            index=index,
            vendor="amd",
            name="AMD Instinct MI300X OAM",
            uuid=f"GPU-5a1b2c3d4e5f607{index}",
            platform="MI300X",
            architecture="gfx942",
            memory_total_mib=196592,
            memory_free_mib=196300,
            compute_partition="SPX",
            memory_partition="NPS1",
        )
        for index in range(2)
    ),
    links=(Link(a=0, b=1, kind="xgmi"),),
    host=Host(rocm_version="7.2.0"),
)

UNIFIED = Inventory(
    source="nvml",
    devices=(
        Device(
            index=0,
            vendor="nvidia",
            name="NVIDIA GB10",
            platform="GB10",
            architecture="sm_121",
            unified_memory=True,
            memory_total_mib=122570,
        ),
    ),
)

INVENTORIES = {"nvidia": NVIDIA, "amd": AMD, "unified": UNIFIED, "empty": Inventory()}
