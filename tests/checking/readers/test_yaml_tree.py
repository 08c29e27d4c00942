"""YAML trees: where scalars are written, what merges give, and what is refused."""

from __future__ import annotations

import pytest

from gemma4ctl.checking.readers.yaml_tree import (
    Mapping,
    Scalar,
    Sequence,
    compose,
)
from gemma4ctl.errors import UsageError
from tests.effort import HUNG_S, calls, cpu_seconds


def mapping(text: str) -> Mapping:
    node = compose(text)
    assert isinstance(node, Mapping)
    return node


def scalar(text: str, name: str = "a") -> Scalar:
    node = mapping(text).get(name)
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a: plain words  # comment\n", "plain words"),
        ("a: 'it''s'\n", "'it''s'"),
        ('a: "x\\ty"\n', '"x\\ty"'),
        ("a: &name value\n", "value"),
        ("a: &name !!str value\n", "value"),
        ("\ufeffa: value\n", "value"),
        ("a:\r\n  value\r\n", "value"),
        ("\U0001f600: 1\na: 'é\U0001f600'\n", "'é\U0001f600'"),
    ],
)
def test_scalar_is_found_as_written(text: str, written: str) -> None:
    node = scalar(text)
    assert text[node.start : node.end] == written


def test_base_shifts_every_offset() -> None:
    head = "first: 1\n---\n"
    text = "\ufeffa: [x, 'y']\n"
    node = compose(text, len(head))
    assert isinstance(node, Mapping)
    items = node.get("a")
    assert isinstance(items, Sequence)
    found = [
        (head + text)[item.start : item.end] for item in items.items if isinstance(item, Scalar)
    ]
    assert found == ["x", "'y'"]


def test_merged_maps_give_missing_keys_nearest_first() -> None:
    node = mapping(
        "base: &base {image: one, x: 1}\nmore: &more {image: two, y: 2}\n"
        "a:\n  <<: [*base, *more]\n  x: 9\n"
    ).mapping("a")
    assert {key.value: value.value for key, value in node.items() if isinstance(value, Scalar)} == {
        "x": "9",
        "image": "one",
        "y": "2",
    }
    assert node.text("image") == "one"
    assert node.text("absent") is None
    assert node.mapping("x").pairs == []


def test_merging_a_map_into_itself_ends() -> None:
    node = mapping("a: &a\n  <<: *a\n  b: 1\n").mapping("a")
    assert node.text("b") == "1"


def test_an_unknown_alias_keeps_keys_and_values_apart() -> None:
    assert mapping("a: *nowhere\nb: 1\n").text("b") == "1"


def test_an_alias_is_the_node_it_names() -> None:
    node = mapping("a: &a [x]\nb: *a\n")
    assert node.get("a") is node.get("b")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n...\n"])
def test_nothing_is_empty(text: str) -> None:
    node = compose(text)
    assert node is None or (isinstance(node, Scalar) and not node.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "[" + "1," * 400_000 + "]",
    ],
    ids=["lists", "maps", "block lists", "long"],
)
def test_deep_and_long_documents_are_refused_in_bounded_time(text: str) -> None:
    def refused() -> None:
        with pytest.raises(UsageError, match="too large"):
            compose(text)

    assert cpu_seconds(refused) < HUNG_S


def test_an_alias_bomb_is_small() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 50)]
    assert len(mapping("\n".join(lines)).pairs) == 50
    assert calls(lambda: mapping("\n".join(lines))) < 50_000
