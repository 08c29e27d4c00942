"""Values as SGLang reads them."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.flags.table import Flag, load
from gemma4ctl.flags.types import read


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("int", " 1_000", 1000),
        ("float", "1e-3", 0.001),
        ("str", "", ""),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("strict_json", "[1, null]", [1, None]),
        ("human_readable_int", "25.6k", 25600),
        ("human_readable_int", " 2Mi ", 2 * 2**20),
        ("human_readable_int", "-1", -1),
        ("nullable_str", "None", None),
        ("nullable_str", "", None),
        ("nullable_str", "x", "x"),
        ("lora_path", " /a ", "/a"),
        ("lora_path", "n=/a", "n=/a"),
        ("lora_path", '{"lora_name":"n","lora_path":"p"}', {"lora_name": "n", "lora_path": "p"}),
        ("a_type_of_tomorrow", "1", "1"),
    ],
)
def test_good_values(type_: str, text: str, value: Any) -> None:
    assert read(Flag(("--x",), "x", type=type_), text) == value


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("int", "1.5"),
        ("float", "x"),
        ("json", "{"),
        ("strict_json", "[NaN]"),
        ("human_readable_int", "1.5Ki"),
        ("human_readable_int", "1K"),
        ("json", "[" * 100_000),
        ("lora_path", "{x}"),
        ("lora_path", '{"lora_name":"n"}'),
    ],
)
def test_bad_values(type_: str, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(Flag(("--x",), "x", type=type_), text)


GRAPH_CONFIG = load("0.5.16").find("--cuda-graph-config")


def test_graph_settings() -> None:
    assert GRAPH_CONFIG is not None
    assert read(GRAPH_CONFIG, '{"decode":{"max_bs":8}}') == {"decode": {"max_bs": 8}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "not a JSON object"),
        ('{"warmup":{}}', "unknown section 'warmup'"),
        ('{"decode":8}', "'decode' is not a JSON object"),
        ('{"decode":{"size":8}}', "unknown key 'size' in 'decode'"),
    ],
)
def test_bad_graph_settings(text: str, reason: str) -> None:
    assert GRAPH_CONFIG is not None
    with pytest.raises(ValueError, match=reason):
        read(GRAPH_CONFIG, text)
