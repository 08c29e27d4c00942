"""``gemma4ctl matrix`` as people run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.planning.rules import RULES
from tests.cli.conftest import Result, cli, process, surroundings

from .test_matrix import wrong_rule

__all__ = ["cli", "process", "surroundings"]  # fixtures

Run = Callable[..., Result]
PART = ("--variant", "31b", "--platform", "h200", "--release", "0.5.16")
OVERLAY = """\
cells:
  - {variant: 31B, platform: H200, mtp: null, mem_fraction: 0.8, tp: 2}
"""


def test_json(cli: Run) -> None:
    done = cli("matrix", *PART, "--format", "json")
    assert done.code == 0
    assert done.json["schema_version"] == 1
    counts = done.json["summary"]
    assert counts["requests"] == 20
    assert counts["plans"] == len(done.json["plans"]) == 12
    assert counts["refusals"] == {"checkpoint-broken": 4, "checkpoint-hardware": 4}
    assert {row["code"] for row in done.json["refusals"]} == set(counts["refusals"])
    assert {row["command"] for row in done.json["plans"]} == set(done.json["commands"])
    assert all(c["argv"][:2] == ["sglang", "serve"] for c in done.json["commands"].values())
    assert "20 requests, 12 plans" in done.err
    assert "0 problems in " in done.err


def test_markdown(cli: Run) -> None:
    done = cli("matrix", "--variant", "E4B", "--platform", "H200", "--platform", "MI300X")
    assert done.code == 0
    assert "## E4B" in done.out
    assert "| MI300X | bf16 | no | text | 0.5.11 to 0.5.15 | 1 |" in done.out
    assert "`SGLANG_USE_AITER=0`" in done.out
    refused = "| H200 | bf16 | yes | text | 0.5.11 to 0.5.12.post1 | - | refused: mtp-unsupported |"
    assert refused in done.out


def test_written_atomically_and_only_over_its_own(cli: Run) -> None:
    for form, name in (("json", "m.json"), ("markdown", "m.md")):
        done = cli("matrix", *PART, "--format", form, "-o", name)
        assert (done.code, done.out) == (0, "")
        first = Path(name).read_text()
        assert cli("matrix", *PART, "--format", form, "-o", name).code == 0
        assert Path(name).read_text() == first  # no clock, no order of processes in it
        Path(name).write_text("mine")
        cli("matrix", *PART, "--format", form, "-o", name).refused(2, "not written by gemma4ctl")
        assert cli("matrix", *PART, "--format", form, "-o", name, "--force").code == 0
    assert sorted(path.name for path in Path().glob("*m*")) == ["m.json", "m.md"]


def test_a_wrong_flag_ends_with_4(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemma4ctl.planning.engine.RULES", (*RULES, wrong_rule("--no-such-flag")))
    done = cli("matrix", *PART, "--release", "0.5.20", "--release", "0.5.21", "--jobs", "1")
    assert done.code == 4
    assert "- **unknown-flag** (31B bf16, H200, no MTP, text, 0.5.16; argv)" in done.out
    assert "SGLang 0.5.16 has no flag --no-such-flag" in done.err
    assert "and 16 more problems" in done.err


def test_nothing_changed(cli: Run) -> None:
    cli("matrix", *PART, "--format", "json", "-o", "old.json")
    done = cli("matrix", *PART, "--diff", "old.json")
    assert (done.code, done.out) == (0, "")
    assert "0 entries differ" in done.err


def test_a_changed_plan_shows_flag_by_flag(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("matrix", *PART, "--format", "json", "-o", "old.json")
    Path("own.yaml").write_text(OVERLAY)
    monkeypatch.setenv("GEMMA4CTL_PROFILES", "own.yaml")
    done = cli("matrix", *PART, "--diff", "old.json", "--format", "json", "-o", "new.json")
    assert done.code == 4
    assert "8 entries differ" in done.err
    assert (
        " entries changed:\n  - --mem-fraction-static 0.85\n  + --mem-fraction-static 0.8\n"
        in done.out
    )
    assert "    31B bf16, H200, no MTP, text, 0.5.16\n" in done.out
    assert json.loads(Path("new.json").read_text())["summary"]["plans"] == 12


def edited(change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(Path("old.json").read_text())
    change(document)
    Path("old.json").write_text(json.dumps(document))


def test_added_removed_and_refused(cli: Run) -> None:
    cli("matrix", *PART, "--format", "json", "-o", "old.json")
    document = json.loads(Path("old.json").read_text())
    first, refused = document["plans"][0], document["refusals"][0]
    edited(lambda d: d["plans"].pop(0))
    edited(lambda d: d["plans"].append({**first, "checkpoint": "gone"}))
    edited(lambda d: d["plans"].append({**first, "platform": "B200"}))  # not asked for
    edited(lambda d: d["refusals"].__setitem__(0, {**refused, "code": "other"}))
    done = cli("matrix", *PART, "--diff", "old.json")
    assert done.code == 4
    assert "1 entry added:\n  + sglang serve\n" in done.out
    assert "1 entry removed:\n  - sglang serve\n" in done.out
    assert "  - refused: other\n  + refused: checkpoint-" in done.out
    assert "B200" not in done.out
    assert "3 entries differ" in done.err


def test_another_order_of_flags(cli: Run) -> None:
    cli("matrix", *PART, "--format", "json", "-o", "old.json")

    def swap(document: dict[str, Any]) -> None:
        for command in document["commands"].values():
            command["argv"] = [*command["argv"][:2], *command["argv"][4:], *command["argv"][2:4]]

    edited(swap)
    done = cli("matrix", *PART, "--diff", "old.json")
    assert done.code == 4
    assert done.out.startswith("12 entries changed:\n  the same flags in another order\n")
    assert done.out.endswith("\n    and 7 more\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "No such file"),
        ("{", "no JSON"),
        ("[]", "no matrix"),
        ('{"kind": "gemma4ctl-matrix", "schema_version": 9}', "schema version 9"),
    ],
)
def test_no_matrix_to_compare_with(cli: Run, text: str | None, found: str) -> None:
    if text is not None:
        Path("old.json").write_text(text)
    cli("matrix", *PART, "--diff", "old.json").refused(2, "cannot be compared", found)


@pytest.mark.parametrize(
    ("option", "name"),
    [("--variant", "7B"), ("--platform", "H999"), ("--release", "0.1")],
)
def test_unknown_names(cli: Run, option: str, name: str) -> None:
    cli("matrix", option, name).refused(2, "unknown", name)


def test_jobs_must_be_positive(cli: Run) -> None:
    assert cli("matrix", *PART, "--jobs", "0").code == 2
