from __future__ import annotations

import pytest

from gemma4ctl import __version__
from gemma4ctl.errors import NoPlanError
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.dockerfile import MARKER, dockerfile
from gemma4ctl.sglang_model.switches import (
    fused_environment,
    prefill_graphs_environment,
    shared_kv_environment,
)

from .plans import PLANS, decision


def switched_on() -> Plan:
    plan = PLANS["h200-node-simulated"]
    given = {
        **fused_environment(),
        **shared_kv_environment(),
        **prefill_graphs_environment([16, 64]),
    }
    on = tuple(decision(name.lower(), value, env=name) for name, value in given.items())
    return plan.model_copy(update={"decisions": (*plan.decisions, *on)})


def instructions(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_of_the_plan_gets_the_module_and_its_switches() -> None:
    plan = switched_on()
    text = dockerfile(plan)
    assert plan.image is not None
    assert text.startswith(MARKER)
    assert text.endswith("\n")
    assert instructions(text) == [
        f"FROM {plan.image.reference}",
        f"ARG GEMMA4CTL=gemma4ctl=={plan.gemma4ctl_version}",
        'RUN python3 -m pip install --no-cache-dir --no-deps "$GEMMA4CTL"',
        "ENV SGLANG_EXTERNAL_MODEL_PACKAGE=gemma4ctl.sglang_model.models",
        "ENV GEMMA4CTL_SGLANG_KERNELS=fused",
        "ENV GEMMA4CTL_SGLANG_KV=shared",
        "ENV GEMMA4CTL_SGLANG_PREFILL_GRAPHS=16,64",
    ]


def test_a_stock_plan_switches_nothing_on() -> None:
    text = dockerfile(PLANS["h200-node-simulated"])
    assert [line.split()[0] for line in instructions(text)] == ["FROM", "ARG", "RUN"]


def test_without_an_image_there_is_none() -> None:
    plan = PLANS["h200-node-simulated"].model_copy(update={"image": None})
    with pytest.raises(NoPlanError, match="No container image"):
        dockerfile(plan)


def test_the_version_is_this_one() -> None:
    plan = switched_on().model_copy(update={"gemma4ctl_version": __version__})
    assert f"gemma4ctl=={__version__}" in dockerfile(plan)
