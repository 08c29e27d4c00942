"""The captured `detect --json` of a real H200 host: read, identified, planned on."""

from __future__ import annotations

import pytest

from gemma4ctl.hardware.files import read_inventory
from gemma4ctl.hardware.identify import identify
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load
from gemma4ctl.rendering.command import argv, environment

from .recorded import FIXTURES

PROFILES = load()
UUID = "GPU-00000000-1111-2222-3333-555555555555"


@pytest.fixture
def inventory() -> Inventory:
    return read_inventory(FIXTURES / "captured" / "h200-inventory.json")


def test_it_is_an_h200(inventory: Inventory) -> None:
    (gpu,) = inventory.devices
    assert (gpu.memory_total_mib, gpu.memory_free_mib) == (143771, 143155)
    assert gpu.memory_total_mib == PROFILES.platforms["H200"].memory_mib
    assert inventory.host.packages["sglang"] == "0.5.16"
    nameless = gpu.model_copy(update={"platform": None})
    unidentified = inventory.model_copy(update={"devices": (nameless,)})
    assert identify(unidentified, PROFILES).devices == (gpu,)


@pytest.mark.parametrize("variant", ["E2B", "E4B", "12B", "26B-A4B", "31B"])
def test_every_variant_is_planned_on_it(inventory: Inventory, variant: str) -> None:
    made = plan(Request(model=variant, gpus=("0",)), inventory, PROFILES)
    assert (made.hardware.platform, made.hardware.gpu_count) == ("H200", 1)
    assert made.hardware.units[0].id == UUID
    assert made.capacity is not None
    longest = min(PROFILES.variants[variant].max_context, made.capacity.full_layer_tokens)
    assert made.capacity.max_context_tokens == longest
    assert environment(made)["CUDA_VISIBLE_DEVICES"] == UUID


def test_26b_with_mtp_makes_do_with_one_gpu_and_says_so(inventory: Inventory) -> None:
    made = plan(Request(model="26B-A4B", mtp=True), inventory, PROFILES)
    assert "--speculative-algorithm" in argv(made)
    assert made.hardware.gpu_count == 1
    assert any("TP 2 is recommended" in warning.message for warning in made.warnings)
