"""One plan, many forms: parsed back, they carry the same argv, environment and devices.

The differences asserted here are the only ones the design allows.
"""

from __future__ import annotations

import shlex

import pytest

from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import command
from gemma4ctl.rendering.compose import compose
from gemma4ctl.rendering.container import KERNEL_CACHES
from gemma4ctl.rendering.docker_run import docker_argv, docker_shell
from gemma4ctl.rendering.document import plan_document
from gemma4ctl.rendering.shell import shell

from .parse_back import Parsed, from_compose, from_docker, from_shell, split_shell
from .plans import HOST, PLANS

SELECTORS = {"CUDA_VISIBLE_DEVICES"}
CONTAINER_ENV = {**KERNEL_CACHES, "HF_HOME": "/root/.cache/huggingface"}

every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


@every_plan
def test_shell_carries_argv_and_environment(plan: Plan) -> None:
    assert from_shell(shell(plan)) == Parsed(command.argv(plan), command.environment(plan))
    assert from_shell(shell(plan, one_line=True)) == from_shell(shell(plan))


@every_plan
def test_json_carries_every_form(plan: Plan) -> None:
    document = plan_document(plan, HOST)
    assert document["command"]["argv"] == command.argv(plan)
    assert document["command"]["env"] == command.environment(plan)
    assignments = [f"{name}={value}" for name, value in command.environment(plan).items()]
    assert shlex.split(document["command"]["shell"]) == [*assignments, *command.argv(plan)]
    assert document["docker"] == {
        "argv": docker_argv(plan, HOST),
        "image": plan.image.reference if plan.image else None,
    }


@every_plan
def test_docker_shell_is_docker_argv(plan: Plan) -> None:
    assert split_shell(docker_shell(plan, HOST)) == docker_argv(plan, HOST)


@every_plan
def test_compose_says_what_docker_run_says(plan: Plan) -> None:
    assert from_compose(compose(plan, HOST)) == from_docker(docker_argv(plan, HOST))


@every_plan
def test_container_differs_from_shell_only_as_allowed(plan: Plan) -> None:
    inside = from_docker(docker_argv(plan, HOST))
    planned = from_shell(shell(plan))

    expected = list(planned.argv)
    mounts = dict(inside.mounts)
    paths = [
        path
        for path, local in (
            (plan.variant.model_path, plan.variant.local),
            (plan.variant.draft_path, plan.variant.draft_local),
            (plan.request.api_key_config, True),
        )
        if path and local
    ]
    for path in paths:
        source = path.split("/snapshots/")[0]
        target, read_only = mounts.pop(source)
        assert read_only
        assert target.startswith(("/models/", "/run/secrets/"))
        expected = [target + word[len(source) :] if word == path else word for word in expected]
    host = expected.index("--host") + 1
    port = int(expected[expected.index("--port") + 1])
    assert inside.publish == (expected[host], port, port)
    expected[host] = "0.0.0.0"
    assert inside.argv == expected

    dropped = SELECTORS if plan.hardware.vendor == "nvidia" else set()
    kept = {name: value for name, value in planned.env.items() if name not in dropped}
    assert inside.env == {**CONTAINER_ENV, **kept}
    assert inside.env_names == {"HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"}

    links = ("/dev/dri/by-path", True)
    assert mounts.pop("/dev/dri/by-path", links) == links
    cache, weights = mounts.items()
    assert cache[0].startswith("gemma4ctl-cache-")
    assert cache[1] == ("/root/.cache", False)
    assert weights == (HOST.hf_home, ("/root/.cache/huggingface", False))


@every_plan
def test_container_gets_the_devices_of_the_plan(plan: Plan) -> None:
    inside = from_docker(docker_argv(plan, HOST))
    visible = command.environment(plan).get("CUDA_VISIBLE_DEVICES")
    if plan.hardware.vendor != "nvidia":
        assert inside.gpus is None
    elif visible:
        assert inside.gpus == visible.split(",")
    else:
        assert inside.gpus == plan.hardware.gpu_count
    expected = {
        "MI300X": ["/dev/kfd", "/dev/dri"],
        "Arc-B": ["/dev/dri"],
    }.get(plan.hardware.platform, [])
    assert inside.devices == expected
    assert bool(inside.groups) == bool(expected)
