"""Every rule: it does what it is for, it matters, and it reads only what came before it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gemma4ctl.planning import engine
from gemma4ctl.planning.engine import _SENTENCES, plan
from gemma4ctl.planning.plan import Decision
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.rules import RULES
from gemma4ctl.planning.rules.base import Rule

from .hosts import node, planned, table
from .scenarios import QUIET, SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.rule)
def test_scenario(scenario: Scenario) -> None:
    assert scenario.holds()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_disabling_a_rule_is_noticed(rule: Rule) -> None:
    ours = [scenario for scenario in SCENARIOS if scenario.rule == rule.id]
    assert ours, f"no scenario for {rule.id}"
    assert not all(scenario.holds(without=(rule.id,)) for scenario in ours)


@pytest.mark.parametrize(("rule", "inventory", "request_"), QUIET)
def test_quiet(rule: str, inventory: Any, request_: dict[str, Any]) -> None:
    assert [w.code for w in planned(inventory, **request_).warnings if w.rule == rule] == []


def test_rules_are_described() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.purpose.endswith("."), rule.id
        assert rule.source in table().sources or rule.source in _SENTENCES, rule.id


def test_every_scenario_names_a_rule() -> None:
    ids = {rule.id for rule in RULES}
    assert {scenario.rule for scenario in SCENARIOS} == ids
    assert {rule for rule, _, _ in QUIET} <= ids


class Recorded(dict[str, Decision]):
    """Decisions that remember who asked for which before it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = ""
        self.early: list[tuple[str, str]] = []  # (rule, name)
        self.maker: dict[str, str] = {}

    def _read(self, name: object) -> None:
        if not super().__contains__(name):
            self.early.append((self.rule, str(name)))

    def __contains__(self, name: object) -> bool:
        self._read(name)
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Decision:
        self._read(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._read(name)
        return super().get(name, default)

    def __setitem__(self, name: str, decision: Decision) -> None:
        super().__setitem__(name, decision)
        self.maker[name] = decision.rule


def test_rules_read_only_what_earlier_rules_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[Recorded] = []
    situate = engine.situate

    def recording(*arguments: Any) -> Any:
        records.append(Recorded())
        return dataclasses.replace(situate(*arguments), made=records[-1])

    def named(rule: Rule) -> Rule:
        def apply(s: Any) -> Any:
            s.made.rule = rule.id
            yield from rule.apply(s)

        return rule._replace(apply=apply)

    monkeypatch.setattr(engine, "situate", recording)
    monkeypatch.setattr(engine, "RULES", tuple(map(named, RULES)))
    for scenario in SCENARIOS:
        if scenario.refused is None:
            planned(scenario.inventory, **scenario.request)
    order = [rule.id for rule in RULES]
    makers: dict[str, str] = {}
    for record in records:
        makers |= record.maker
    late = {
        (reader, name, makers[name])
        for record in records
        for reader, name in record.early
        if reader in order and name in makers and order.index(makers[name]) > order.index(reader)
    }
    assert not late


def test_a_disabled_rule_leaves_the_others() -> None:
    whole = plan(Request(model="31B"), node("H200"), table())
    part = plan(Request(model="31B"), node("H200"), table(), without={"tool-call-parser"})
    assert {d.name for d in whole.decisions} - {d.name for d in part.decisions} == {
        "tool_call_parser"
    }
