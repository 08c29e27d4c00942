"""Where a flag is when it is not in a table."""

from __future__ import annotations

import re

import pytest

from gemma4ctl.flags.history import spans, spans_of, successor, to_text, whereabouts
from gemma4ctl.flags.table import Flag, FlagTable, load


def test_spans_hold_the_first_and_last_release() -> None:
    tables = [
        FlagTable(release="1", flags=(Flag(("--a", "--b"), "a"),)),
        FlagTable(release="2", flags=(Flag(("--a",), "a"), Flag(("--c",), "c"))),
        FlagTable(release="3", flags=(Flag(("--c",), "c"),)),
    ]
    found = spans_of(tables)
    assert found == {"--a": ("1", "2"), "--b": ("1", "1"), "--c": ("2", "3")}
    assert to_text(found).splitlines()[1] == '"--a": ["1", "2"],'


@pytest.mark.parametrize(
    ("option", "release", "said"),
    [
        ("--cuda-graph-max-bs", "0.5.20", "was removed from SGLang after 0.5.19"),
        ("--enable-unified-memory", "0.5.12", "was added in SGLang 0.5.15"),
        ("--enable-unified-memory", "(installed)", "exists in SGLang 0.5.15 to 0.5.23, not in"),
        ("--enable-unified-memory", "0.5.16", "exists in SGLang 0.5.15 to 0.5.23, not in 0.5.16"),
    ],
)
def test_whereabouts(option: str, release: str, said: str) -> None:
    table = load("0.5.23").model_copy(update={"release": release})
    assert said in (whereabouts(option, table) or "")


def test_a_flag_that_never_was_is_nowhere() -> None:
    assert whereabouts("--tp-sise", load("0.5.16")) is None


@pytest.mark.parametrize(
    ("option", "release", "new"),
    [
        ("--cuda-graph-max-bs", "0.5.23", "--cuda-graph-max-bs-decode"),  # SGLang named it
        ("--cuda-graph-bs-decode", "0.5.13", "--cuda-graph-bs"),  # it was to replace this one
        ("--enable-unified-memory", "0.5.12", None),
        # replaced twice, and the value it stood for is gone
        ("--enable-piecewise-cuda-graph", "0.5.19", "--cuda-graph-backend-prefill=tc_piecewise"),
        ("--enable-piecewise-cuda-graph", "0.5.23", None),
    ],
)
def test_successor(option: str, release: str, new: str | None) -> None:
    assert successor(option, load(release)) == new


def test_a_flag_that_sets_the_same_value_succeeds_another() -> None:
    gone = next(option for option, (_, last) in spans().items() if last == "0.5.22")
    old = load("0.5.22").find(gone)
    assert old is not None
    table = FlagTable(release="0.5.23", flags=(Flag(("--renamed",), old.dest),))
    assert successor(gone, table) == (old.replacement or "--renamed")


@pytest.mark.parametrize("release", ["0.5.11", "0.5.13", "0.5.16", "0.5.19", "0.5.23"])
def test_every_successor_exists_in_its_release(release: str) -> None:
    table = load(release)
    for option in spans():
        new = None if table.find(option) else successor(option, table)
        if new is not None:
            assert table.find(re.split(r"[= ]", new)[0]) is not None, (option, new)
