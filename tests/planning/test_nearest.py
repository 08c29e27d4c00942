"""The commands that a refusal names: each is valid, near, and works."""

from __future__ import annotations

import shlex
from typing import Any, get_args

import pytest

from gemma4ctl.cli.options import REQUEST
from gemma4ctl.errors import NoPlanError
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.nearest import OPTIONS, SWITCHES, command
from gemma4ctl.planning.request import Request

from .hosts import gpu, host, mig, node, planned, sick, table

FIELDS = {option: name for name, option in OPTIONS.items()} | {"--model": "model"}
NUMBERS = ("tp", "context_length", "concurrency", "port")

REFUSED: list[tuple[Inventory | str, dict[str, Any]]] = [
    ("H200", {"model": "12B", "checkpoint": "qat", "mtp": True}),
    ("H200", {"model": "12B", "sglang_version": "0.5.12"}),
    ("H200", {"model": "31B", "sglang_version": "0.5.12", "mtp": True}),
    ("H200", {"model": "31B", "tp": 3}),
    ("H200", {"model": "31B", "extra_args": ("--tp", "3")}),
    ("H200", {"model": "31B", "extra_args": ("--dp-size", "9")}),
    ("H200", {"model": "31B", "modalities": ("text", "audio"), "context_length": 32_768}),
    ("H200", {"model": "E2B", "context_length": 200_000}),
    ("H200", {"model": "31B", "mem_fraction": 0.05}),
    ("MI300X", {"model": "31B", "checkpoint": "nvfp4", "mtp": False}),
    (node("RTX-4090", 1), {"model": "31B", "hardware": "RTX-4090", "gpus": 1}),
    (node("H100", 1), {"model": "31B", "hardware": "H100", "gpus": 1, "context_length": 262_144}),
    ("H200", {"model": "31B", "concurrency": 10_000, "request_tokens": "32k"}),
    ("H200", {"model": "31B", "request_tokens": "1k:9,300k:1"}),
    ("H200", {"model": "31B", "request_tokens": "64k", "context_length": 32_768}),
    (host(gpu(0, memory_free_mib=3_000)), {"model": "26B-A4B"}),
    (host(gpu(0, memory_free_mib=20_000), gpu(1)), {"model": "31B", "gpus": ("0",)}),
    (host(mig(0, "H100", 9_728)), {"model": "12B"}),
    (host(gpu(0, health=sick("lost"))), {"model": "E2B"}),
    (Inventory(), {"model": "E2B", "port": 8000, "reasoning": False}),
]


def read(words: str) -> Request:
    """The request of a ``gemma4ctl suggest`` command, as its options mean it."""
    parts = shlex.split(words)
    assert parts[:2] == ["gemma4ctl", "suggest"]
    rest = iter(parts[2:])
    fields: dict[str, Any] = {}
    for word in rest:
        if word == "--":
            fields["extra_args"] = tuple(rest)
        elif word.removeprefix("--no-").removeprefix("--") in SWITCHES:
            fields[word.removeprefix("--no-").removeprefix("--")] = not word.startswith("--no-")
        else:
            name, value = FIELDS[word], next(rest)
            if name == "modalities" or (name == "gpus" and not value.isdecimal()):
                fields[name] = tuple(filter(None, value.split(",")))
            elif name in NUMBERS or name == "gpus":
                fields[name] = int(value)
            else:
                fields[name] = value
    return Request.model_validate(fields)


@pytest.mark.parametrize(("inventory", "request_"), REFUSED)
def test_every_command_named_works(inventory: Inventory | str, request_: dict[str, Any]) -> None:
    with pytest.raises(NoPlanError) as raised:
        planned(inventory, **request_)
    error = raised.value
    assert error.needed and error.found and error.code
    commands = [remedy for remedy in error.remedies if remedy.startswith("gemma4ctl suggest")]
    assert 1 <= len(commands) <= 4
    for words in commands:
        request = read(words)
        there = node(inventory) if isinstance(inventory, str) else inventory
        if request.hardware and (request.hardware, request.gpus) != (
            request_.get("hardware", inventory),
            request_.get("gpus"),
        ):
            gpus = request.gpus if isinstance(request.gpus, int) else None
            there = node(request.hardware, gpus)
        assert plan(request, there, table())


def test_the_nearest_comes_first_and_keeps_the_rest() -> None:
    with pytest.raises(NoPlanError) as raised:
        planned("H200", model="12B", checkpoint="qat", mtp=True, port=8000)
    assert raised.value.remedies[:2] == (
        "use --checkpoint bf16",
        "gemma4ctl suggest --model 12B --hardware H200 --port 8000 --mtp",
    )


def test_command_quotes_what_a_shell_would_read() -> None:
    request = Request(
        model="E2B",
        model_path="/data/it's $(x)\nmodel",
        gpus=("0", "1"),
        modalities=("text", "image"),
        mem_fraction="auto",
        mtp=False,
        reasoning=False,
        extra_args=("--log-level", "a b"),
    )
    assert read(command(request)).model_path == request.model_path
    assert read(command(request)).extra_args == request.extra_args
    assert read(command(request)).gpus == ("0", "1")


def test_one_index_is_not_read_as_a_count() -> None:
    request = Request(model="E2B", gpus=("0",), optimize=True, request_tokens="1k:9,32k:1")
    words = command(request)
    assert words == (
        "gemma4ctl suggest --model E2B --gpus 0, --request-tokens 1k:9,32k:1 --optimize"
    )
    assert read(words) == request


def test_the_options_are_those_of_the_command_line() -> None:
    known = {
        name
        for annotation in REQUEST.values()
        for option in get_args(annotation)[1:]
        for declared in option.param_decls
        for name in declared.split("/")
    } | {"--" + name.replace("_", "-") for name in REQUEST}
    assert set(OPTIONS.values()) <= known
    assert {f"--{name}" for name in SWITCHES} <= known


def test_commands_name_the_host_and_the_table_again() -> None:
    """Options that are no part of a request, before the user's own flags."""
    given = {"--hardware-file": "a host.json", "--profiles": "mine.yaml"}
    request = Request(model="31B", extra_args=("--log-level", "debug"))
    assert command(request, given) == (
        "gemma4ctl suggest --model 31B --hardware-file 'a host.json' --profiles mine.yaml "
        "-- --log-level debug"
    )
    elsewhere = command(request.model_copy(update={"hardware": "H200"}), given)
    assert "--hardware-file" not in elsewhere and "--profiles mine.yaml" in elsewhere
