"""``fit`` and ``suggest`` never disagree: every figure is that of the command beside it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4ctl.capacity.workload import uniform
from gemma4ctl.cli.app import app
from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.fitting.document import FitDocument, Split, VariantFit
from gemma4ctl.fitting.fit import Points, fit
from gemma4ctl.planning.engine import consider, plan
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from tests.fitting.hosts import asked, everything
from tests.planning.hosts import node, table, tuned
from tests.planning.scenarios import SCENARIOS, Scenario

HOSTS = [("H200", 1), ("H100", 8), ("L40S", 2), ("RTX-4090", 1), ("MI300X", 8), ("B200", 8)]
NO_ROWS = Points(lengths=(), concurrencies=())


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))


def suggested(command: str) -> dict[str, Any]:
    """What the command prints as JSON."""
    words = shlex.split(command)
    assert words[:2] == ["gemma4ctl", "suggest"]
    at = words.index("--") if "--" in words else len(words)
    result = CliRunner().invoke(app, [*words[1:at], "--json", *words[at:]])
    assert result.exit_code == 0, (command, result.stderr)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def splits(one: VariantFit) -> Iterator[tuple[str, Split]]:
    """The commands of ``one`` with the split that each should have."""
    assert one.command is not None and one.planned is not None and one.longest is not None
    yield one.command, one.planned
    for row in (*one.lengths, *one.concurrencies, one.longest):
        if row.command is not None and row.best_split is not None:
            yield row.command, row.best_split


@pytest.fixture(scope="module")
def document() -> FitDocument:
    """31B on an H200: the context asked for is kept."""
    points = Points(lengths=(1_024, 32_768, None), concurrencies=(16, 256))
    request = asked("H200", 1, model="31B")
    return fit([request], node("H200", 1), table(), points)


def test_every_command_gives_its_split(document: FitDocument) -> None:
    for command, split in splits(document.variants[0]):
        capacity = suggested(command)["capacity"]
        pools = capacity["full_layer_tokens"], capacity["swa_layer_tokens"]
        assert pools == (split.full_layer_tokens, split.swa_layer_tokens), command


def test_every_lever_is_a_plan_of_its_command(document: FitDocument) -> None:
    known = [lever for lever in document.variants[0].levers if lever.command]
    assert {lever.name for lever in known} >= {"published", "load", "kv-fp8", "smaller-chunk"}
    for lever in known:
        assert lever.command is not None
        found = suggested(lever.command)["capacity"]["full_layer_tokens"]
        assert found == lever.full_layer_tokens, lever.command


@pytest.mark.parametrize(("platform", "gpus"), HOSTS)
def test_the_figures_of_all_variants_are_those_of_their_plans(platform: str, gpus: int) -> None:
    for one in everything(platform, gpus).variants:
        request = asked(platform, gpus, model=one.variant)
        try:
            made = plan(request, node(platform, gpus), table(), advise=False)
        except NoPlanError:
            assert not one.as_asked
            assert one.group != "runs"
            continue
        assert one.as_asked and one.planned and one.usage and made.capacity
        assert one.gpus == made.hardware.gpu_count
        assert one.max_context_tokens == made.capacity.max_context_tokens
        assert one.usage == made.capacity.stages
        assert one.planned.full_layer_tokens == made.capacity.full_layer_tokens
        assert one.planned.swa_layer_tokens == made.capacity.swa_layer_tokens


@pytest.mark.parametrize(("platform", "gpus"), HOSTS)
def test_published_rows_are_those_of_the_safe_plan(platform: str, gpus: int) -> None:
    for one in everything(platform, gpus).variants:
        if not one.as_asked or one.published is None:
            continue
        request = asked(platform, gpus, model=one.variant, safe=True, tp=one.tp)
        s = consider(request, node(platform, gpus), table()).situation
        found = memory(s, s.tp, s.mtp)
        assert found is not None
        for row in one.lengths:
            assert row.published == found.held(uniform(row.tokens)).requests


def test_what_fit_refuses_suggest_refuses_too() -> None:
    request = Request(model="31B", hardware="RTX-4090", gpus=1)
    document = fit([request], node("RTX-4090", 1), table())
    with pytest.raises(NoPlanError) as raised:
        plan(request, node("RTX-4090", 1), table())
    one = document.variants[0]
    assert not document.fits
    assert (one.reason, one.needed) == (raised.value.message, raised.value.needed)
    assert one.found == raised.value.found
    assert one.remedies == raised.value.remedies


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.rule)
def test_fit_and_suggest_judge_every_scenario_of_the_rules_alike(scenario: Scenario) -> None:
    profiles = tuned(**scenario.cell) if scenario.cell else table()
    place = scenario.inventory
    inventory = node(place) if isinstance(place, str) else place
    usual = {"hardware": place} if isinstance(place, str) else {}
    request = Request(**{**usual, **scenario.request})
    assert judged(lambda: plan(request, inventory, profiles, advise=False)) == judged(
        lambda: fit([request], inventory, profiles, NO_ROWS).variants[0]
    )


def judged(made: Callable[[], Plan | VariantFit]) -> str:
    """Whether there is a plan for exactly what was asked."""
    try:
        found = made()
    except NoPlanError:
        return "refused"
    except UsageError:
        return "usage"
    return "refused" if isinstance(found, VariantFit) and not found.as_asked else "planned"
