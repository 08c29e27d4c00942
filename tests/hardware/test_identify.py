from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gemma4ctl.hardware.identify import identify
from gemma4ctl.hardware.inventory import Device, Inventory

from .profiles import PROFILES


def platform_of(name: str, memory: int | None = None, **fields: Any) -> str | None:
    device = Device(index=0, name=name, memory_total_mib=memory, **{"vendor": "nvidia", **fields})
    (found,) = identify(Inventory(devices=(device,)), PROFILES).devices
    return found.platform


@pytest.mark.parametrize(
    ("name", "memory", "platform"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "H100"),
        ("nvidia h200", 143771, "H200"),
        ("NVIDIA H100 NVL", 95830, "H100-NVL"),
        ("NVIDIA GeForce RTX 4090", 24564, "RTX-4090"),
        ("NVIDIA GeForce RTX 4090", 49140, "RTX-4090-48G"),
        ("NVIDIA GeForce RTX 4090", 33000, None),
        ("NVIDIA GeForce RTX 4090", None, None),  # two rows have that name
        ("NVIDIA H100 80GB HBM3", None, "H100"),  # only one has this
        ("NVIDIA H100 80GB HBM3", 40000, None),
        ("NVIDIA GB200", 189471, "GB200"),  # the longer match, not B200
        ("NVIDIA B200", 183359, "B200"),
        ("Tesla T4", 15360, None),
    ],
)
def test_names_and_memory(name: str, memory: int | None, platform: str | None) -> None:
    assert platform_of(name, memory) == platform


def test_the_vendor_must_match() -> None:
    assert platform_of("AMD Instinct MI300X", 196592, vendor="amd") == "MI300X"
    assert platform_of("AMD Instinct MI300X", 196592, vendor="nvidia") is None


def test_the_range_does_not_hold_for_a_partition() -> None:
    name = "AMD Instinct MI300X"
    assert platform_of(name, 24574, vendor="amd") is None
    assert platform_of(name, 24574, vendor="amd", parent="0000:a4:00.0") == "MI300X"


def test_a_platform_of_the_table_is_kept_and_another_is_not() -> None:
    assert platform_of("whatever", platform="H200") == "H200"
    assert platform_of("whatever", platform="Z9") is None


def test_a_tie_is_no_match() -> None:
    twins = {"A": PROFILES.platforms["H200"], "B": PROFILES.platforms["H200"]}
    table = PROFILES.model_copy(update={"platforms": twins})
    device = Device(index=0, vendor="nvidia", name="NVIDIA H200")
    assert identify(Inventory(devices=(device,)), table).devices[0].platform is None


@pytest.mark.parametrize(
    ("host", "platforms"),
    [
        ("mi300x-amd-smi", {"MI300X"}),
        ("mi325x-amd-smi", {"MI325X"}),
        ("mi300x-cpx-nps4", {"MI300X"}),
        ("gb200", {"GB200"}),
        ("gb10", {"GB10"}),
        ("h100-mig", {"H100"}),
        ("mixed-nvidia", {"RTX-4090", None}),
    ],
)
def test_detected_hosts(
    detected: Callable[..., Inventory], host: str, platforms: set[str | None]
) -> None:
    assert {gpu.platform for gpu in identify(detected(host), PROFILES).devices} == platforms
