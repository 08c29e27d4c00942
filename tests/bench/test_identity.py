"""What a result says about model, server, hardware and plan."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.bench import identity
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.load import load
from gemma4ctl.rendering.planfile import plan_hash

HERE, AWAY = Endpoint("http://127.0.0.1:30000"), Endpoint("http://gpu.example:30000")
FACTS = Facts(
    model_ids=("m",),
    model_path="google/gemma-4-E2B-it",
    variant="E2B",
    release="0.5.16",
    server_args={"tp_size": 2, "chunked_prefill_size": 4096, "api_key": "***", "port": 1},
)


@pytest.fixture(scope="module")
def e2b() -> Plan:
    profiles = load()
    return plan(Request(model="E2B"), simulate("H200", 4, profiles), profiles)


def test_served() -> None:
    found = identity.served(FACTS, "m")
    assert (found.model, found.variant, found.tp, found.release) == ("m", "E2B", 2, "0.5.16")
    assert found.mtp is False
    assert found.server_args == {"tp_size": 2, "chunked_prefill_size": 4096}
    assert identity.served(Facts(), "m").mtp is None


def test_planned(e2b: Plan) -> None:
    found = identity.planned(e2b)
    assert found.plan_hash == plan_hash(e2b)
    assert (found.argv[:2], found.checkpoint) == (("sglang", "serve"), "bf16")


def test_hardware_of_the_plan(e2b: Plan) -> None:
    found = identity.hardware(AWAY, FACTS, e2b)
    assert found is not None
    assert (found.platform, found.gpu_count, found.source) == ("H200", 1, "plan")


def on(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemma4ctl.hardware.detect.detect", lambda: inventory)


@pytest.mark.parametrize(
    ("arguments", "count"), [({"tp_size": 2}, 2), ({}, 4), ({"tp_size": 8}, 4)]
)
def test_hardware_of_this_machine(
    arguments: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(simulate("H200", 4, load()), monkeypatch)
    found = identity.hardware(HERE, Facts(server_args=arguments), None)
    assert found is not None
    assert (found.platform, found.gpu_count, len(found.gpus)) == ("H200", count, count)


def test_hardware_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    on(Inventory(), monkeypatch)
    assert identity.hardware(HERE, FACTS, None) is None
    on(simulate("H200", 4, load()), monkeypatch)
    assert identity.hardware(AWAY, FACTS, None) is None
