"""``gemma4ctl fit``: what it prints, and its exit status."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from gemma4ctl.hardware.inventory import Inventory
from tests.cli.conftest import Result
from tests.planning.hosts import gpu, host

Cli = Callable[..., Result]
ON = ("--hardware", "H200", "--gpus", "1")


def test_all_variants(cli: Cli) -> None:
    result = cli("fit", "--hardware", "RTX-4090", "--gpus", "1")
    assert result.code == 0, result.err
    for title in ("Runs", "Runs with less than asked", "Cannot run"):
        assert title in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    assert "\x1b" not in result.out


def test_one_variant(cli: Cli) -> None:
    result = cli("fit", "--model", "31B", *ON)
    assert result.code == 0, result.err
    for text in ("Memory of each GPU", "Requests at once", "Longest requests", "FP8 KV cache"):
        assert text in result.out


def test_json(cli: Cli) -> None:
    result = cli("fit", "--model", "31B", *ON, "--json", "--lengths", "2k", "--at-once", "3,2")
    assert result.code == 0, result.err
    (one,) = result.json["variants"]
    assert [row["tokens"] for row in one["lengths"]] == [2048]
    assert [row["requests"] for row in one["concurrencies"]] == [2, 3]
    assert result.json["fits"]


def test_the_shared_options_reach_the_plan(cli: Cli) -> None:
    words = ("--mtp", "--context-length", "32k", "--", "--kv-cache-dtype", "fp8_e4m3")
    result = cli("fit", "--model", "26B-A4B", *ON, "--json", *words)
    (one,) = result.json["variants"]
    assert one["usage"]["draft"] > 0
    assert [row["tokens"] for row in one["lengths"]] == [1024, 8192, 32768]
    assert "--kv-cache-dtype fp8_e4m3" in one["command"]


def test_a_variant_that_cannot_run(cli: Cli) -> None:
    words = ("fit", "--model", "31B", "--hardware", "RTX-4090", "--gpus", "1")
    cli(*words).refused(3, "need:", "found:", "try:   gemma4ctl suggest")
    result = cli(*words, "--json")
    assert (result.code, result.json["fits"]) == (3, False)
    assert result.json["variants"][0]["group"] == "cannot"


def test_a_variant_that_runs_with_less_than_asked(cli: Cli) -> None:
    result = cli("fit", "--model", "E2B", *ON, "--context-length", "1024k")
    assert result.code == 3
    assert "--context-length 131072" in result.out
    assert "at most 131,072 tokens" in result.err


def test_no_variant_runs_as_asked(cli: Cli) -> None:
    result = cli("fit", *ON, "--context-length", "1024k")
    assert result.code == 3
    assert "Runs with less than asked" in result.out
    assert "no variant runs as it was asked for" in result.err


def test_a_host_of_a_file(cli: Cli, tmp_path: Path) -> None:
    busy = host(gpu(0, "H200", memory_free_mib=70_000))
    file = tmp_path / "host.json"
    file.write_text(busy.model_dump_json())
    assert Inventory.model_validate_json(file.read_text()) == busy
    result = cli("fit", "--hardware-file", str(file), "--json")
    assert result.code == 0, result.err
    assert result.json["hardware"]["free_mib"] == 70_000
    groups = {one["variant"]: one["group"] for one in result.json["variants"]}
    assert groups["E2B"] == "runs"
    assert groups["31B"] != "runs"
    words = shlex.split(result.json["variants"][0]["lengths"][0]["command"])
    split = result.json["variants"][0]["lengths"][0]["best_split"]
    capacity = cli(*words[1:], "--json").json["capacity"]
    assert capacity["full_layer_tokens"] == split["full_layer_tokens"]


def test_the_variant_may_come_from_the_environment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMA4CTL_MODEL", "E4B")
    found = cli("fit", *ON, "--json").json["variants"]
    assert [one["variant"] for one in found] == ["E4B"]


def test_a_drawing(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "fit.svg"
    words = ("fit", "--model", "E2B", *ON, "--lengths", "8k", "--plot", str(file))
    result = cli(*words)
    assert result.code == 0, result.err
    assert file.read_text().startswith("<?xml")
    assert str(file) in result.err
    file.write_text("mine")
    refused = cli(*words)
    assert (refused.code, file.read_text()) == (2, "mine")
    assert cli(*words, "--force").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--lengths", "0"),
        ("--lengths", "many"),
        ("--lengths", ","),
        ("--at-once", "1k,max"),
        ("--at-once", ",".join(map(str, range(1, 20)))),
        ("--plot", "all.svg"),
        ("--model", "E2B", "--plot", "drawing.pdf"),
        ("--model", "E3B"),
        ("--checkpoint", "gguf"),
    ],
    ids=" ".join,
)
def test_bad_options(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli("fit", *ON, *words)
    assert result.code == 2
    assert "need:" in result.err


def test_the_table_of_the_user_is_used(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("schema_version: 1\n")
    result = cli("fit", *ON, "--json", "--profiles", str(file))
    assert result.code == 0, result.err
    assert json.loads(result.out)["variants"]
