"""A small profile table for these tests: only its platforms matter."""

from __future__ import annotations

from gemma4ctl.profiles.table import MtpDefaults, Platform, Profiles


def _row(title: str, **fields: object) -> Platform:
    return Platform.model_validate(
        {"title": title, "vendor": "nvidia", "architecture": "sm_90", "source": "t", **fields}
    )


PLATFORMS = {
    "H100": _row(
        "NVIDIA H100 80GB",
        memory_mib=81559,
        interconnect="NVLink 4, 900 GB/s",
        names=(r"\bH100 80GB",),
        memory_range_mib=(79000, 83000),
    ),
    "H200": _row("NVIDIA H200", memory_mib=143771, interconnect="NVLink 4", names=(r"\bH200\b",)),
    "H100-NVL": _row(
        "NVIDIA H100 NVL", memory_mib=95830, interconnect="NVLink bridge of 2", names=("H100 NVL",)
    ),
    "RTX-4090": _row(
        "NVIDIA GeForce RTX 4090",
        architecture="sm_89",
        memory_mib=24564,
        interconnect="PCIe 4",
        names=("RTX 4090",),
        memory_range_mib=(24000, 25000),
    ),
    "RTX-4090-48G": _row(
        "NVIDIA GeForce RTX 4090 48GB",
        architecture="sm_89",
        memory_mib=49140,
        names=("RTX 4090",),
        memory_range_mib=(48000, 50000),
    ),
    "B200": _row("NVIDIA B200", architecture="sm_100", memory_mib=183359, names=("B200",)),
    "GB200": _row(
        "NVIDIA GB200",
        architecture="sm_100",
        memory_mib=189471,
        interconnect="NVLink 5",
        names=("GB200",),
        node_size=4,
        cpu_architectures=("aarch64",),
    ),
    "GB10": _row(
        "NVIDIA GB10",
        architecture="sm_121",
        memory_mib=124610,
        interconnect="NVLink-C2C",
        names=("GB10",),
        unified_memory=True,
        node_size=1,
        cpu_architectures=("aarch64",),
    ),
    "MI300X": _row(
        "AMD Instinct MI300X",
        vendor="amd",
        architecture="gfx942",
        memory_mib=196592,
        interconnect="xGMI, 896 GB/s",
        names=("MI300X",),
        memory_range_mib=(190000, 200000),
    ),
    "MI325X": _row("AMD Instinct MI325X", vendor="amd", architecture="gfx942", names=("MI325X",)),
}

PROFILES = Profiles(
    schema_version=1,
    sources={},
    variants={},
    checkpoints=(),
    platforms=PLATFORMS,
    releases={},
    default_release="0.5.16",
    images=(),
    cells=(),
    mtp=MtpDefaults(steps=5, draft_tokens=6, topk=1, max_running_requests=48, source="t"),
)
