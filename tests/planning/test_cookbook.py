"""Every command of the page and its selector, reproduced flag for flag in meaning.

Two command lines mean the same when SGLang's parser of the planned release reads the same values
from both. The only differences allowed: full flag names, the bind address, ``--model-type``, the
flag that refuses audio, the 12B QAT checkpoint (which does not load), and text-only B300.
"""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from gemma4ctl.errors import NoPlanError
from gemma4ctl.flags.parse import parse
from gemma4ctl.flags.table import load
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.command import argv, environment
from gemma4ctl.rendering.container import HostContext
from gemma4ctl.rendering.docker_run import docker_argv

from .cookbook import B12, DOCKER, PAGE, SELECTOR, Expected
from .hosts import planned

BROKEN = [row for row in SELECTOR if row.request["model"] == B12 and "qat" in row.name]
WORKING = [row for row in SELECTOR if row not in BROKEN]


def meaning(words: list[str], release: str) -> dict[str, Any]:
    """What SGLang reads from ``words``: argument -> value, without what has its default."""
    table = load(release)
    read = parse(words, table)
    assert read.accepted, read.problems
    defaults = {flag.dest: flag.default for flag in table.flags}
    return {
        dest: value
        for dest, value in read.values.items()
        if dest not in ("host", "model_type", "limit_mm_data_per_request")
        and value != defaults.get(dest)
    }


def assert_same(plan: Plan, expected: Expected) -> None:
    ours = argv(plan)[2:]
    assert meaning(ours, plan.release) == meaning(shlex.split(expected.command), plan.release)
    assert environment(plan) == expected.env
    assert parse(ours, load(plan.release)).values["host"] == "127.0.0.1"
    assert "--model-type llm" in " ".join(ours)


def test_the_matrix_is_whole() -> None:
    assert len(SELECTOR) == 3 * 80 + 16 + 32 + 64
    assert len(BROKEN) == 3 * 8
    assert len({row.name for row in [*SELECTOR, *PAGE]}) == len(SELECTOR) + len(PAGE)


@pytest.mark.parametrize("row", WORKING, ids=lambda row: row.name)
def test_selector(row: Expected) -> None:
    assert_same(planned(row.hardware, **row.request), row)


@pytest.mark.parametrize("row", PAGE, ids=lambda row: row.name)
def test_page(row: Expected) -> None:
    assert_same(planned(row.hardware, **row.request), row)


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: row.name)
def test_the_12b_qat_checkpoint_has_no_plan(row: Expected) -> None:
    with pytest.raises(NoPlanError) as raised:
        planned(row.hardware, **row.request)
    assert raised.value.code == "checkpoint-broken"


@pytest.mark.parametrize(
    "row", [row for row in WORKING if row.hardware == "B300"], ids=lambda row: row.name
)
def test_text_only_b300_differs_by_the_backend_alone(row: Expected) -> None:
    plan = planned("B300", **(row.request | {"modalities": ("text",)}))
    page = meaning(shlex.split(row.command), plan.release)
    assert page.pop("attention_backend") == "triton"
    assert meaning(argv(plan)[2:], plan.release) == page


def test_docker() -> None:
    plan = planned(DOCKER.hardware, **DOCKER.request)
    words = docker_argv(plan, HostContext(hf_home="/home/user/.cache/huggingface"))
    assert words[:2] == ["docker", "run"]
    inside = words[words.index("lmsysorg/sglang:latest") + 1 :]
    assert inside[:2] == ["sglang", "serve"]
    assert meaning(inside[2:], plan.release) == meaning(shlex.split(DOCKER.command), plan.release)
    assert parse(inside[2:], load(plan.release)).values["host"] == "0.0.0.0"


def test_a_comparison_can_fail() -> None:
    row = WORKING[0]
    for change in ("--tp 2", "--page-size 16", "--attention-backend triton"):
        other = Expected(row.name, row.hardware, f"{row.command} {change}", row.request)
        with pytest.raises(AssertionError):
            assert_same(planned(row.hardware, **row.request), other)
