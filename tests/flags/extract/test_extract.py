"""Reading flags from source, in the three layouts that SGLang has had."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gemma4ctl.flags.extract import (
    FolderTree,
    NotSglangError,
    NotStaticError,
    WheelTree,
    extract,
)
from gemma4ctl.flags.table import Flag, FlagTable, from_text, to_text

from .trees import CALLS, FIELDS, NAMESPACES, write_tree


def table_of(tmp_path: Path, files: dict[str, str]) -> FlagTable:
    return extract(FolderTree(write_tree(tmp_path, files)), "9.9")


@pytest.fixture
def calls(tmp_path: Path) -> FlagTable:
    return table_of(tmp_path, CALLS)


@pytest.fixture
def fields(tmp_path: Path) -> FlagTable:
    return table_of(tmp_path, FIELDS)


@pytest.fixture
def namespaces(tmp_path: Path) -> FlagTable:
    return table_of(tmp_path, NAMESPACES)


def switch(*options: str, **attributes: object) -> Flag:
    return Flag(options, action="store_true", nargs=0, default=False, **attributes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "flag",
    [
        Flag(("--model-path", "--model"), "model_path", required=True),
        Flag(("--tensor-parallel-size", "--tp-size"), "tp_size", type="int", default=1),
        Flag(("--backend",), "backend", choices=("triton", "fa3", "dsa")),
        Flag(("--dtype",), "dtype", default="auto", choices=("auto", "half")),
        Flag(("--ratio",), "ratio", type="float", default=-0.8),
        Flag(("--names",), "names", nargs="*", default=[]),
        Flag(("--device",), "device"),
        Flag(("--max-total",), "max_total", type="human_readable_int"),
        Flag(("--overrides",), "overrides", type="json", default="{}"),
        switch("--quiet", dest="quiet"),
        Flag(("--overlap", "--no-overlap"), "overlap", action="boolean_optional", nargs=0),
        Flag(("--reasoning-parser",), "reasoning_parser", choices=("gemma4", "qwen3")),
        Flag(("--lora-paths",), "lora_paths", type="lora_path", nargs="*"),
        Flag(
            ("--hybrid",),
            "hybrid",
            action="ignore",
            nargs=0,
            deprecated=True,
            replacement="--ratio",
        ),
        switch("--slow", dest="slow", deprecated=True),
    ],
    ids=lambda flag: flag.options[0],
)
def test_add_argument_calls(calls: FlagTable, flag: Flag) -> None:
    assert calls.find(flag.options[0]) == flag


def test_all_calls_are_read_and_sorted(calls: FlagTable) -> None:
    assert len(calls.flags) == 15
    assert list(calls.flags) == sorted(calls.flags, key=lambda flag: flag.options)
    assert not calls.positional_model


@pytest.mark.parametrize(
    "flag",
    [
        Flag(("--model-path", "--model"), "model_path", required=True),
        Flag(("--port",), "port", type="int", default=30000),
        switch("--quiet", dest="quiet"),
        Flag(("--rate",), "rate", type="float"),
        Flag(("--size",), "size", type="int"),
        Flag(("--width",), "width", type="int", nargs="?", const=7),
        Flag(("--lists",), "lists", type="int", nargs="+"),
        Flag(("--words",), "words", nargs="*", choices=("a", "b")),
        Flag(("--mixed",), "mixed"),
        Flag(("--level",), "level", choices=("low", "high"), default="low"),
        Flag(("--grade",), "grade", choices=(None, "x")),
        Flag(("--rank",), "rank", type="int", choices=(1, 2), default=1, const=2),
        Flag(("--only",), "only", choices=("one",), default="one"),
        Flag(("--gemm-backend",), "gemm"),
        Flag(("--graph",), "graph", type="parse_graph", keys={"decode": ("backend", "max_bs")}),
        Flag(("--mode",), "mode", choices=("fast", "safe"), default="fast"),
        Flag(
            ("--overlap", "--no-overlap"),
            "overlap",
            action="boolean_optional",
            nargs=0,
            default=True,
        ),
        Flag(("--loras",), "loras", type="lora_path", nargs="*"),
        Flag(("--twice",), "twice", type="int", default=2),
        Flag(("--plain",), "plain", type="int", default=3),
        Flag(("--kind",), "kind", choices=("fast", "safe")),
        switch("--fast", dest="quick", deprecated=True, replacement="--quick"),
        Flag(
            ("--no-graph",),
            "graph_backend",
            action="store_const",
            nargs=0,
            const="disabled",
            deprecated=True,
            replacement="--graph-backend=disabled",
        ),
        Flag(("--old",), "old", type="int", deprecated=True, replacement="--new"),
        Flag(
            ("--gone",),
            "gone",
            action="refuse",
            nargs=0,
            deprecated=True,
            replacement="--port",
            error="--gone is gone. Use --port instead.",
        ),
    ],
    ids=lambda flag: flag.options[0],
)
def test_annotated_fields(fields: FlagTable, flag: Flag) -> None:
    assert fields.find(flag.options[0]) == flag


def test_fields_that_are_no_flags(fields: FlagTable) -> None:
    assert len(fields.flags) == 25
    assert fields.find("--hidden") is None
    assert fields.find("--commented") is None
    assert fields.positional_model


def test_namespaces(namespaces: FlagTable) -> None:
    assert namespaces.flags == (
        Flag(("--model-path", "--model"), "model_path", required=True),
        Flag(
            ("--monokernel",),
            "amd",
            action="store_const",
            choices=("amd",),
            const=True,
            deprecated=True,
        ),
        Flag(("--reasoning-parser",), "reasoning_parser", choices=("auto", "gemma4", "qwen3")),
    )


@pytest.mark.parametrize("files", [CALLS, FIELDS, NAMESPACES])
def test_a_wheel_gives_the_same_table_as_its_folder(tmp_path: Path, files: dict[str, str]) -> None:
    root = write_tree(tmp_path / "tree", files)
    wheel = tmp_path / "sglang-9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in files:
            archive.write(root / path, path)
    table = extract(WheelTree(wheel), "9.9")
    assert table == extract(FolderTree(root), "9.9")
    assert from_text(to_text(table)) == table


@pytest.mark.parametrize("files", [{}, {"sglang/srt/server_args.py": "class Other: pass"}])
def test_other_sources_are_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(NotSglangError, match="declare no SGLang flags"):
        table_of(tmp_path, files)


def with_call(call: str) -> dict[str, str]:
    body = f"class ServerArgs:\n    def add_cli_args(parser):\n        parser.add_argument({call})"
    return {"sglang/srt/server_args.py": f"import os\nimport argparse\n{body}"}


@pytest.mark.parametrize(
    "choices",
    [
        "read_choices()",
        "[x for x in range(3)]",
        "[x for x in [1] if x]",
        "os.environ",
        "UNKNOWN",
        "[not 1]",
        "1 / 0",
        "[1][2]",
        "[1] + 1",
        "list(argparse)",
        "'a'.swapcase()",
        "(lambda: 1)()",
    ],
)
def test_choices_that_only_running_would_tell_are_an_error(tmp_path: Path, choices: str) -> None:
    with pytest.raises(NotStaticError):
        table_of(tmp_path, with_call(f"'--x', choices={choices}"))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 * 3 - 1", 5),
        ("1 << 4", 16),
        ("7 // 2", 3),
        ("{'a': 1}['a']", 1),
        ("'-'.join(['a', 'b']).upper()", "A-B"),
        ("tuple([1, 2])", [1, 2]),
        ("{2, 1}", [1, 2]),
        ("list()", []),
        ("read_default()", None),
    ],
)
def test_defaults_are_computed_where_they_can_be(
    tmp_path: Path, expression: str, value: object
) -> None:
    (flag,) = table_of(tmp_path, with_call(f"'--x', default={expression}")).flags
    assert flag.default == value


@pytest.mark.parametrize(
    "statement",
    [
        "if os.name: parser.add_argument('--y')",
        "for name in ['--y']: parser.add_argument(name)",
        "add_more_args(parser)",
        "parser.add_argument('--y', **common)",
    ],
)
def test_a_declaration_of_a_new_shape_is_not_overlooked(tmp_path: Path, statement: str) -> None:
    files = with_call("'--x'")
    files["sglang/srt/server_args.py"] += f"\n        {statement}"
    with pytest.raises(NotStaticError):
        table_of(tmp_path, files)


def test_a_class_without_arguments_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotStaticError, match="add_cli_args"):
        table_of(tmp_path, {"sglang/srt/server_args.py": "class ServerArgs: pass"})


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("dataclasses.field(default=3)", 3),
        ("dataclasses.field(default_factory=set)", []),
        ("dataclasses.field(repr=False)", None),
        ("compute()", None),
    ],
)
def test_defaults_of_fields(tmp_path: Path, field: str, default: object) -> None:
    files = with_call("'--x'")
    files["sglang/srt/server_args.py"] = files["sglang/srt/server_args.py"].replace(
        "class ServerArgs:\n", f"class ServerArgs:\n    y: A[str, 'help'] = {field}\n"
    )
    flag = table_of(tmp_path, files).find("--y")
    assert flag is not None and flag.default == default


def test_an_own_action_class_gives_its_arity(tmp_path: Path) -> None:
    files = with_call("'--x', action=Own")
    files["sglang/srt/server_args.py"] += (
        "\nclass Own(argparse.Action):\n"
        "    def __init__(self, option_strings, dest, nargs=0, **kwargs): ..."
    )
    (flag,) = table_of(tmp_path, files).flags
    assert (flag.action, flag.nargs) == ("store", 0)


def test_enumerations_and_functions(tmp_path: Path) -> None:
    files = with_call("'--x', choices=[m.value for m in Count] + names(), default=Count.TWO")
    files["sglang/srt/server_args.py"] += (
        "\nfrom enum import Enum, auto\nfrom sglang.srt import other"
        "\nclass Count(Enum):\n    ONE = auto()\n    TWO = auto()"
        "\ndef names():\n    found = [other.NAME]\n    return found"
    )
    files["sglang/srt/other.py"] = "NAME: str = 'three'"
    (flag,) = table_of(tmp_path, files).flags
    assert flag.choices == (1, 2, "three")
    assert flag.default == 2
