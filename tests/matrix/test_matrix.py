"""The matrix itself: what it holds, that it finds faults, and that it grows linearly."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from gemma4ctl.flags.parse import parse
from gemma4ctl.flags.table import load as load_flags
from gemma4ctl.matrix import forms
from gemma4ctl.matrix.cases import Part, cases
from gemma4ctl.matrix.document import summary
from gemma4ctl.matrix.forms import disagreements, shell_words
from gemma4ctl.matrix.resolve import Outcome
from gemma4ctl.matrix.run import run, usable_cpus
from gemma4ctl.planning import engine
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.rules import RULES
from gemma4ctl.planning.rules.base import Choose, Outcomes, Rule
from gemma4ctl.planning.situation import Situation
from tests.effort import calls
from tests.planning.hosts import node, planned, table

PART = Part(platforms=("H200", "MI300X"), releases=("0.5.16", "0.5.23"))
SMALL = Part(variants=("E2B",), platforms=("H200",), releases=("0.5.16",))


@lru_cache(maxsize=1)
def outcomes() -> list[Outcome]:
    return run(table(), PART, jobs=1)


def test_every_combination_once() -> None:
    found = [case for batch in cases(table(), Part()) for case in batch]
    size = len(table().checkpoints) * len(table().platforms) * len(table().releases)
    assert len(found) == len(set(found)) == 4 * size  # MTP on and off, text and every input
    page = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text(encoding="utf-8")
    assert f"{len(found):,} requests" in page
    assert {case.modalities for case in found if case.variant == "31B"} == {
        ("text",),
        ("text", "image"),
    }


def test_a_part_has_only_what_was_asked_for() -> None:
    found = [case for batch in cases(table(), PART) for case in batch]
    assert {case.platform for case in found} == {"H200", "MI300X"}
    assert {case.release for case in found} == {"0.5.16", "0.5.23"}
    assert {case.variant for case in found} == set(table().variants)
    assert len(found) == len(outcomes())


def test_plans_are_the_planners_own() -> None:
    for outcome in outcomes():
        if outcome.planned is None:
            assert outcome.refusal
            continue
        made = engine.plan(outcome.case.request(), node(outcome.case.platform), table())
        assert outcome.planned.gpus == made.hardware.gpu_count
        assert outcome.planned.warnings == tuple(warning.code for warning in made.warnings)
        assert made.release == outcome.case.release
        assert parse(outcome.planned.argv[2:], load_flags(made.release)).problems == []


def test_summary_adds_up() -> None:
    counts = summary(outcomes())
    assert counts["requests"] == counts["plans"] + sum(counts["refusals"].values())
    assert counts["problems"] == 0
    assert 0 < counts["commands"] < counts["rendered"] < counts["plans"]
    assert "checkpoint-hardware" in counts["refusals"]  # NVFP4 needs Blackwell


def test_processes_make_no_difference() -> None:
    part = Part(variants=("31B",), platforms=("H200",), releases=("0.5.16", "0.5.20"))
    assert run(table(), part, jobs=2) == run(table(), part, jobs=1)
    assert usable_cpus() >= 1


def wrong_rule(flag: str) -> Rule:
    def apply(s: Situation) -> Outcomes:
        yield Choose("planted", "1", "a planted fault", flag=flag, status="estimated")

    return Rule("planted", "wheels", "crash", apply)


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("--no-such-flag", "unknown-flag"),
        ("--model", "duplicate-flag"),
        ("--attention-backend", "bad-choice"),
        ("--tensor-parallel", "abbreviated-flag"),
    ],
)
def test_a_wrong_flag_is_found(monkeypatch: pytest.MonkeyPatch, flag: str, code: str) -> None:
    monkeypatch.setattr("gemma4ctl.planning.engine.RULES", (*RULES, wrong_rule(flag)))
    found = run(table(), SMALL, jobs=1)
    planned_ones = [outcome for outcome in found if outcome.planned]
    assert planned_ones
    for outcome in planned_ones:
        assert [(p.form, p.code) for p in outcome.problems] == [("argv", code)], outcome.problems


def test_a_removed_flag_is_found_in_its_release_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gemma4ctl.planning.engine.RULES", (*RULES, wrong_rule("--cuda-graph-max-bs-decode"))
    )
    part = SMALL._replace(releases=("0.5.11", "0.5.23"))
    refused = {o.case.release for o in run(table(), part, jobs=1) if o.problems}
    assert refused == {"0.5.11"}


def test_a_release_without_flag_table_is_told() -> None:
    newer = {**table().releases, "0.5.99": table().releases["0.5.23"]}
    changed = table().model_copy(update={"releases": newer})
    found = run(changed, SMALL._replace(releases=("0.5.99",)), jobs=1)
    assert {p.code for o in found for p in o.problems} == {"flag-table-missing"}


@pytest.mark.parametrize(
    ("renderer", "form", "spoil"),
    [
        ("shell", "shell", lambda text: text.replace("--tp-size 2", "--tp-size 4")),
        ("shell_of", "docker run", lambda text: text.replace("--tp-size 2", "")),
        ("compose_of", "compose", lambda text: text.replace('- "--tp-size"\n', '- "--tp"\n')),
        ("compose_of", "compose", lambda text: text.replace("image: ", "image: x")),
        ("container", "docker run", lambda spec: spec._replace(argv=spec.argv[:-2])),
        ("container", "docker run", lambda spec: spec._replace(image="other")),
        (
            "plan_document",
            "plan document",
            lambda document: {**document, "command": {**document["command"], "env": {"A": "1"}}},
        ),
    ],
)
def test_forms_that_differ_are_found(
    monkeypatch: pytest.MonkeyPatch, renderer: str, form: str, spoil: Callable[..., object]
) -> None:
    made: Plan = planned("H200", model="26B-A4B", mtp=True)
    assert not list(disagreements(made))
    honest = getattr(forms, renderer)
    monkeypatch.setattr(forms, renderer, lambda *given: spoil(honest(*given)))
    found = list(disagreements(made))
    assert form in {problem.form for problem in found}
    assert {problem.code for problem in found} == {"forms-differ"}


def test_a_plan_without_image_has_no_container_form() -> None:
    made = planned("H200", model="E2B").model_copy(update={"image": None})
    assert not list(disagreements(made))


def test_shell_words_are_those_of_a_shell() -> None:
    assert shell_words("A=1 \\\n  sglang serve \\\n  --x y") == [
        "A=1",
        "sglang",
        "serve",
        "--x",
        "y",
    ]
    assert shell_words("""a 'b c' \\\n  "d" """) == ["a", "b c", "d"]


def test_work_grows_linearly() -> None:
    single = Part(variants=("E2B", "31B"), platforms=("H200",), releases=("0.5.16",))
    double = single._replace(releases=("0.5.16", "0.5.17"))
    run(table(), double, jobs=1)  # fills the caches
    once = calls(lambda: run(table(), single, jobs=1))
    assert calls(lambda: run(table(), double, jobs=1)) <= 2.1 * once


def test_a_case_says_what_it_is() -> None:
    case = next(cases(table(), SMALL))[0]
    assert str(case) == "E2B bf16, H200, no MTP, text, 0.5.16"
    assert case.request() == Request(
        model="E2B",
        hardware="H200",
        checkpoint="bf16",
        mtp=False,
        modalities=("text",),
        sglang_version="0.5.16",
    )
