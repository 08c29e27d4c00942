"""Values of YAML scalars know where in the file each of their words is written."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4ctl.checking.readers.excerpt import Lines
from gemma4ctl.checking.readers.yaml_scalars import excerpt
from gemma4ctl.checking.readers.yaml_templates import masked
from gemma4ctl.checking.readers.yaml_tree import MASK, Mapping, Scalar, Sequence, compose


def scalar(text: str) -> Scalar:
    """The value of the first key in ``text``."""
    node = compose(text)
    node = node.items[0] if isinstance(node, Sequence) else node
    assert isinstance(node, Mapping)
    [(_, value)] = node.pairs
    assert isinstance(value, Scalar)
    return value


@pytest.mark.parametrize(
    "text",
    [
        "a: serve --tp-size 2\n",
        "a: 'serve --tp-size 2'\n",
        'a: "serve --tp-size 2"\n',
        "a: |\n  serve \\\n    --tp-size 2\n",
        "a: |\r\n  serve \\\r\n    --tp-size 2\r\n",
        "a: >-\n  serve\n  --tp-size\n  2\n",
        "a: serve\n  --tp-size\n\n  2\n",
        'a: "serve\n  --tp-size\n  2"\n',
        'a: "\\"serve\\"\\n\\\n   --tp-size \\x41 2"\n',
        "a: 'it''s\n  --tp-size 2'\n",
        "- a: |+2\n     serve\n    --tp-size 2\n\n",
    ],
)
def test_words_of_a_value_are_found_in_the_file(text: str) -> None:
    node = scalar(text)
    found = excerpt(node, text)
    assert found.text == node.value
    for word in ("--tp-size", "2"):
        at = node.value.rindex(word)
        start, end = found.span(at, at + len(word))
        assert text[start:end] == word
        place = Lines(text).place(found.offset(at))
        line = text.splitlines()[place.line - 1]
        assert line[place.column - 1 :].startswith(word)


def test_a_span_over_a_fold_or_an_escape_is_not_written_as_such() -> None:
    text = 'a: "one\\"two three\n  four"\n'
    node = scalar(text)
    found = excerpt(node, text)
    assert found.span(0, 3) != (-1, -1)
    for part in ('one"', 'e"two', "three four"):
        at = node.value.index(part)
        assert found.span(at, at + len(part)) == (-1, -1)


def test_an_empty_value_has_a_place() -> None:
    text = "a: ''\n"
    assert excerpt(scalar(text), text).offset(0) == 3


def test_what_a_template_gives_is_not_certain() -> None:
    text = "a: serve {{ .model }} --port={{ .port }}0\n"
    node = scalar(masked(text, inserted_items=True))
    found = excerpt(node, text)
    assert not found.certain
    assert found.cut(0, 6).certain
    assert not found.cut(node.value.index(MASK), node.value.index(MASK) + 2).certain
    at = node.value.index("--port=")
    assert text[slice(*found.span(at, at + 7))] == "--port="


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="ab -\"'\\\n\té#:", max_size=40),
    st.sampled_from(["'", '"', "|", ">", None]),
    st.integers(5, 40),
)
def test_every_word_that_is_found_is_the_text(value: str, style: str | None, width: int) -> None:
    text = yaml.dump({"a": value}, default_style=style, width=width, allow_unicode=True)
    node = scalar(text)
    found = excerpt(node, text)
    for word in yaml_words(node.value):
        at = node.value.index(word)
        first, last = found.span(at, at + len(word))
        if first >= 0:
            assert text[first:last] == word


def yaml_words(value: str) -> list[str]:
    """The words of ``value`` that hold nothing a quoted scalar would escape."""
    return [word for word in value.split() if not set(word) & set("\"'\\é")]
