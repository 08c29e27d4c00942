"""Templates become YAML of the same length, so that every offset stays true."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4ctl.checking.readers.yaml_templates import is_template, masked
from gemma4ctl.checking.readers.yaml_tree import MASK, Mapping, Scalar, Sequence, compose
from tests.effort import HUNG_S, cpu_seconds


def words(text: str, *, inserted_items: bool = True) -> list[str]:
    """The list ``args`` of a template, masks shortened."""
    node = compose(masked(text, inserted_items=inserted_items))
    assert isinstance(node, Mapping)
    args = node.get("args")
    assert isinstance(args, Sequence)
    return [
        "?" if item.value.startswith(MASK) else item.value.replace(MASK, "")
        for item in args.items
        if isinstance(item, Scalar)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("args:\n  - serve\n  - {{ .Values.model }}\n", ["serve", "?"]),
        ('args:\n  - "{{ .Values.model }}"\n', ["?"]),
        ("args: [serve, {{ .a }}, --tp-size={{ .b }}]\n", ["serve", "?", "--tp-size="]),
        ("args:\n  {{- if .mtp }}\n  - --mtp\n  {{- end }}\n  - x\n", ["--mtp", "x"]),
        ("{{/* a\n comment */}}\nargs:\n  - x\n", ["x"]),
        ("args:\n  - x\n  {{- toYaml .Values.extra | nindent 2 }}\n", ["x", "?"]),
        ("args:\n{{ toYaml .Values.extra | indent 2 }}\n  - x\n", ["?", "x"]),
        ("args:\n  - x\n  {{- range .l }}\n  - {{ . }}\n  {{- end }}\n", ["x", "?"]),
        ("{% if x %}\nargs:\n  - x\n{% endif %}\n", ["x"]),
        ("args: [x]\nlabels:\n  {{- include `l` . | nindent 2 }}\nb: 1\n", ["x"]),
        ("args: [x]\n{{- $v := 1 }}\n", ["x"]),
    ],
)
def test_templates_read_as_lists(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_an_insertion_among_keys_becomes_blank() -> None:
    text = "labels:\n  a: b\n  {{- include `more` . | nindent 2 }}\nargs: [x]\n"
    assert words(text) == ["x"]


def test_without_items_insertions_become_blank() -> None:
    text = "args:\n  - x\n  {{- toYaml .Values.extra | nindent 2 }}\n"
    assert words(text, inserted_items=False) == ["x"]


def test_github_expressions_keep_no_dollar() -> None:
    text = "run: sglang serve ${{ inputs.model }}\n"
    assert masked(text, inserted_items=True) == f"run: sglang serve {MASK * 19}\n"


def test_what_is_not_closed_stays() -> None:
    text = "a: '{{ x'\n"
    assert masked(text, inserted_items=True) == text


def test_a_short_insertion_has_room_for_its_item() -> None:
    assert masked("a:\n{{x}}\n", inserted_items=True) == f"a:\n- {MASK * 3}\n"
    assert len(masked("a:\n{{x|nindent 40}}\n", inserted_items=True)) == len(
        "a:\n{{x|nindent 40}}\n"
    )


def test_only_expressions_make_a_template() -> None:
    assert is_template("{{ x }}")
    assert is_template("{% if x %}")
    assert not is_template("a: {b: {c: 1}}")


@settings(max_examples=200)
@given(st.text(alphabet="{}%#$- \nif:n", max_size=60), st.booleans())
def test_masking_keeps_the_length(text: str, inserted: bool) -> None:
    assert len(masked(text, inserted_items=inserted)) == len(text)


@pytest.mark.parametrize("text", ["{{" * 200_000, "{{x}}" * 80_000, "{%{{" * 100_000])
def test_masking_is_linear(text: str) -> None:
    assert cpu_seconds(lambda: masked(text, inserted_items=True)) < HUNG_S
