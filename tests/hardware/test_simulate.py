from __future__ import annotations

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.hardware.identify import identify
from gemma4ctl.hardware.simulate import MAX_GPUS, default_inventory, simulate

from .profiles import PLATFORMS, PROFILES


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_platform(name: str) -> None:
    inventory = simulate(name, 2, PROFILES)
    assert inventory.source == "flag"
    for device in inventory.devices:
        assert device.platform == name and device.uuid is None and device.visible
        assert device.memory_free_mib == device.memory_total_mib == PLATFORMS[name].memory_mib
        assert device.unified_memory == (name == "GB10")
        assert device.health.status == "ok"
    assert inventory.host.cpu_architecture == PLATFORMS[name].cpu_architectures[0]
    assert identify(inventory, PROFILES) == inventory


@pytest.mark.parametrize(
    ("name", "gpus", "pairs", "kind"),
    [
        ("H200", 8, 28, "nvlink"),
        ("MI300X", 4, 6, "xgmi"),
        ("H100-NVL", 4, 2, "nvlink"),
        ("RTX-4090", 4, 0, None),
        ("GB10", 2, 0, None),
        ("B200", 2, 0, None),
    ],
)
def test_links(name: str, gpus: int, pairs: int, kind: str | None) -> None:
    links = simulate(name, gpus, PROFILES).links
    assert len(links) == pairs
    assert {link.kind for link in links} == ({kind} if kind else set())


@pytest.mark.parametrize("spelling", ["h200", "H-200", "nvidia h200", "NVIDIA_H200"])
def test_spelling(spelling: str) -> None:
    assert simulate(spelling, 1, PROFILES).devices[0].platform == "H200"


def test_the_default_is_a_node_of_h200() -> None:
    inventory = default_inventory(PROFILES)
    assert inventory.source == "default"
    assert [device.platform for device in inventory.devices] == ["H200"] * 8


def test_an_unknown_platform_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        simulate("H2000", 1, PROFILES)
    assert "--hardware H200" in caught.value.remedies
    assert "H100" in str(caught.value) and caught.value.exit_code == 2


def test_a_platform_like_no_other_has_no_remedy() -> None:
    with pytest.raises(UsageError) as caught:
        simulate("zzzzzz", 1, PROFILES)
    assert caught.value.remedies == ()


@pytest.mark.parametrize("gpus", [-1, 0, MAX_GPUS + 1])
def test_impossible_numbers(gpus: int) -> None:
    with pytest.raises(UsageError, match="cannot have"):
        simulate("H200", gpus, PROFILES)
