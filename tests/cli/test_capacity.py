"""Loads and memory on the command line: what never fits ends with 3 and says what would fit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from gemma4ctl.hardware.inventory import Device
from tests.planning.hosts import gpu, host, mig

from .conftest import Result

Cli = Callable[..., Result]
ONE = ("suggest", "-m", "31B", "--hardware", "H200", "--gpus", "1")


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ((*ONE, "--context-length", "300k"), ["at most 262,144 tokens", "307,200"]),
        ((*ONE, "--request-tokens", "1k:9,300k:1"), ["requests of 307,200 tokens"]),
        (
            (*ONE, "--request-tokens", "64k", "--context-length", "32k"),
            ["requests of at most 32,768 tokens", "--context-length 65536"],
        ),
        (
            (*ONE, "--request-tokens", "32k", "--concurrency", "100"),
            ["100 requests of 32,768 tokens", "GiB of KV cache a GPU", "--concurrency"],
        ),
        (
            (*ONE, "--context-length", "32k", "--concurrency", "4000"),
            ["4000 requests of even 256 tokens"],
        ),
    ],
)
def test_a_load_that_never_fits(cli: Cli, words: tuple[str, ...], texts: list[str]) -> None:
    result = cli(*words)
    result.refused(3, "need:", "found:", "try:", *texts)
    works(cli, result)


@pytest.mark.parametrize(
    ("device", "model", "texts"),
    [
        (gpu(0, "H100", memory_free_mib=1_500), "E2B", ["1,500 of 81,559 MiB free"]),
        (gpu(0, memory_free_mib=40_000), "31B", ["40,000 of 143,771 MiB free", "61,042 MiB"]),
        (mig(0, "H100", 9_728), "12B", ["9,678 of 9,728 MiB free", "23,808 MiB"]),
    ],
    ids=["full", "busy", "slice"],
)
def test_memory_that_is_too_small(
    cli: Cli, surroundings: Path, device: Device, model: str, texts: list[str]
) -> None:
    content = host(device).model_dump_json()
    (surroundings / "h.json").write_text(content, encoding="utf-8")
    result = cli("suggest", "-m", model, "--hardware-file", "h.json")
    result.refused(3, "need:", "found:", "try:", *texts)
    works(cli, result, "--hardware-file", "h.json")


def works(cli: Cli, refused: Result, *here: str) -> None:
    """Every whole command that the refusal names has a plan."""
    commands = re.findall(r"try: +gemma4ctl (suggest .*)", refused.err)
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert cli(*words, *(() if "--hardware" in words else here)).code == 0, command


@pytest.mark.parametrize("text", ["many", "1k:", "0", "1k:9:1", "-1k"])
def test_lengths_that_are_none(cli: Cli, text: str) -> None:
    cli(*ONE, f"--request-tokens={text}").refused(2, "--request-tokens", "1k:9,32k:1")


def test_the_plan_for_a_load_beside_the_default(cli: Cli) -> None:
    published = cli(*ONE, "--json").json["capacity"]
    tuned = cli(*ONE, "--optimize", "--json").json["capacity"]
    safe = cli(*ONE, "--context-length", "32k", "--safe", "--json").json["capacity"]
    counts = [[split["requests"] for split in c["splits"]] for c in (published, tuned, safe)]
    assert counts == [[2, 12], [12, 2], [2, 9]]
    assert safe["full_layer_tokens"] == published["full_layer_tokens"]
    assert "12 requests fit (full pool), 2 with the default split" in cli(*ONE, "--optimize").out
    assert "2 requests fit (full pool), 12 with --optimize" in cli(*ONE).out


def test_the_nearest_plans_are_on_the_hardware_of_the_file(cli: Cli, surroundings: Path) -> None:
    inventory = host(gpu(0), gpu(1)).model_dump_json()
    (surroundings / "host.json").write_text(inventory)
    result = cli("suggest", "-m", "31B", "--hardware-file", "host.json", "--tp-size", "3")
    result.refused(3, "gemma4ctl suggest --model 31B --hardware-file host.json")
    works(cli, result)
