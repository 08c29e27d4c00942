"""Small SGLang source trees, one for each layout that SGLang has declared its flags in.

Constructed: the shape is that of the wheels 0.5.11, 0.5.16 and 0.5.23, the flags are a selection.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

ACTIONS = """
    import argparse

    class LoRAPathAction(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None): ...

    class DeprecatedAction(argparse.Action):
        def __init__(self, option_strings, dest, error_message=None, nargs=0, **kwargs): ...

    class DeprecatedStoreTrueAction(argparse.Action):
        def __init__(self, option_strings, dest, new_flag=None, nargs=0, const=True, **kwargs): ...

    class DeprecatedStoreConstAction(argparse.Action):
        def __init__(self, option_strings, dest, new_flag=None, const_value=None, nargs=0): ...

    class DeprecatedAliasStoreAction(argparse.Action):
        def __init__(self, option_strings, dest, new_flag=None, **kwargs): ...
"""

CALLS = {  # until 0.5.13
    "sglang/srt/server_args.py": """
        import argparse
        import dataclasses
        import json
        from sglang.srt.parser.reasoning_parser import ReasoningParser
        from sglang.srt.utils import human_readable_int

        BACKENDS = ["triton", "fa3"]
        if True:
            DTYPES = ["auto"] + ["half"] * 1

        class LoRAPathAction(argparse.Action):
            pass

        class DeprecatedAction(argparse.Action):
            def __init__(self, option_strings, dest, nargs=0, **kwargs): ...

        @dataclasses.dataclass
        class ServerArgs:
            model_path: str
            tp_size: int = 1
            backend: str = None
            ratio: float = -0.8
            names: list = dataclasses.field(default_factory=list)
            device: str = dataclasses.field(default_factory=lambda: get_device())

            @staticmethod
            def add_cli_args(parser):
                names = list(ReasoningParser.DetectorMap.keys())
                parser.add_argument("--model-path", "--model", type=str, required=True, help="x")
                parser.add_argument(
                    "--tensor-parallel-size", "--tp-size", type=int, dest="tp_size",
                    default=ServerArgs.tp_size,
                )
                parser.add_argument("--backend", choices=[*BACKENDS, "dsa"])
                parser.add_argument("--dtype", type=str, default="auto", choices=DTYPES)
                parser.add_argument("--ratio", type=float, default=ServerArgs.ratio)
                parser.add_argument("--names", nargs="*", default=ServerArgs.names)
                parser.add_argument("--device", default=ServerArgs.device)
                parser.add_argument("--max-total", type=human_readable_int)
                parser.add_argument("--overrides", type=json.loads, default="{}")
                parser.add_argument("--quiet", action="store_true")
                parser.add_argument("--overlap", action=argparse.BooleanOptionalAction)
                parser.add_argument("--reasoning-parser", choices=names)
                parser.add_argument("--lora-paths", type=str, nargs="*", action=LoRAPathAction)
                parser.add_argument("--hybrid", action=DeprecatedAction,
                                    help="Note: --hybrid is deprecated now, use '--ratio' instead.")
                parser.add_argument("--slow", action="store_true", help="[Deprecated] See docs.")
                print("not a flag")
        """,
    "sglang/srt/parser/reasoning_parser.py": """
        class ReasoningParser:
            DetectorMap: dict = {"gemma4": make_detector(1), **{"qwen3": None}}
        """,
    "sglang/srt/utils/__init__.py": "from sglang.srt.utils.common import *",
    "sglang/cli/serve.py": "def serve(args, extra_argv): ...",
}

FIELDS = {  # 0.5.14 to 0.5.19
    "sglang/srt/server_args.py": """
        import argparse
        import dataclasses
        from typing import List, Literal, Optional, Union
        from sglang.srt.arg_groups.arg_utils import A, Arg, add_cli_args_from_dataclass
        from sglang.srt.arg_groups.argparse_actions import (
            DeprecatedAction,
            DeprecatedAliasStoreAction,
            DeprecatedStoreConstAction,
            DeprecatedStoreTrueAction,
            LoRAPathAction,
        )
        from sglang.srt.graph import Backend, Mode, parse_graph
        import sglang.srt.graph as graph

        Level = Literal["low", "high"]

        @dataclasses.dataclass
        class ServerArgs:
            model_path: A[str, Arg(help="Weights.", aliases=["--model"])]
            port: A[int, "The port."] = 30000
            quiet: A[bool, f"Say {1} thing."] = False
            rate: A[Optional[float], Arg(help="Rate.")] = None
            size: A["int | None", Arg(help="Size.")] = None
            width: A[int | None, Arg(help="Width.", nargs="?", const=7)] = None
            lists: A[Optional[List[int]], "Sizes."] = None
            words: A[list[str], Arg(help="Words.", nargs="*", choices=["a", "b"])] = None
            mixed: A[Union[int, str, None], Arg(help="Either.")] = None
            level: A[Level, Arg(help="Level.")] = "low"
            grade: A[Optional[Literal[None, "x"]], Arg(help="Grade.")] = None
            rank: A[Literal[1, 2], Arg(help="Rank.", const=2)] = 1
            only: A[Literal["one"], Arg(help="Only one.")] = "one"
            gemm: A[str, Arg(help="Renamed.", cli_name="--gemm-backend", required=False)]
            graph: A[Optional[str], Arg(help="JSON.", type_parser=parse_graph)] = None
            mode: A[Optional[str], Arg(help="Mode.", choices=graph.MODES)] = Mode.FAST
            overlap: A[bool, Arg(help="x", action=argparse.BooleanOptionalAction)] = True
            loras: A[
                Optional[list], Arg(action=LoRAPathAction, action_kwargs={"nargs": "*"})
            ] = None
            twice: A[int, "First."] = 1
            twice: A[int, "Last."] = 2
            hidden: A[int, Arg(help="Not on the command line.", no_cli=True)] = 0
            plain: int = 3
            commented: A[int, object()] = 4

            @staticmethod
            def add_cli_args(parser):
                add_cli_args_from_dataclass(parser, ServerArgs)
                parser.add_argument("--plain", type=int, default=ServerArgs.plain)
                parser.add_argument("--kind", choices=[m.name.lower() for m in Mode])
                parser.add_argument("--fast", action=DeprecatedStoreTrueAction, dest="quick",
                                    new_flag="--quick")
                parser.add_argument("--no-graph", action=DeprecatedStoreConstAction,
                                    const_value=Backend.DISABLED, dest="graph_backend",
                                    new_flag="--graph-backend=disabled")
                parser.add_argument("--old", action=DeprecatedAliasStoreAction, type=int,
                                    new_flag="--new", default=argparse.SUPPRESS)
                parser.add_argument("--gone", action=DeprecatedAction,
                                    error_message="--gone is gone. Use --port instead.")
        """,
    "sglang/srt/arg_groups/argparse_actions.py": ACTIONS,
    "sglang/srt/graph.py": """
        from enum import Enum, auto

        class Phase:
            DECODE = "decode"

        class Backend:
            FULL = "full"
            DISABLED = "disabled"

        class Mode(str, Enum):
            FAST = "fast"
            SAFE = "safe"

        class Count(Enum):
            ONE = auto()

        MODES = [m.value for m in Mode]
        ALLOWED_KEYS_PER_PHASE = {Phase.DECODE: ("backend", "max_bs")}

        def parse_graph(raw):
            return ALLOWED_KEYS_PER_PHASE
        """,
    "sglang/cli/serve.py": "def _normalize_positional_model_path(extra_argv): ...",
}

NAMESPACES = {  # from 0.5.20
    "sglang/srt/server_args.py": """
        from sglang.srt.arg_groups.arg_utils import add_cli_args_from_dataclass
        from sglang.srt.arg_groups.argparse_actions import DeprecatedStoreConstAction

        def _parser_names():
            import sys
            module = sys.modules.get("sglang.srt.parser")
            if module is not None:
                return list(module.Detectors)
            from sglang.srt.parser.names import NAMES
            return sorted(NAMES)

        class ServerArgs:
            @staticmethod
            def add_cli_args(parser):
                add_cli_args_from_dataclass(parser, ServerArgs)
                names = _parser_names()
                parser.add_argument("--reasoning-parser", choices=["auto"] + names,
                                    default=_declared_default("reasoning_parser"))
                parser.add_argument("--monokernel", action=DeprecatedStoreConstAction,
                                    dest="amd", nargs=None, choices={"amd"}, const_value=True)

        ServerArgs = build(ServerArgs)
        """,
    "sglang/srt/arg_groups/argparse_actions.py": ACTIONS,
    "sglang/srt/arg_groups/fields/__init__.py": "class Ignored: pass",
    "sglang/srt/arg_groups/fields/README.md": "not Python",
    "sglang/srt/arg_groups/fields/model.py": """
        import msgspec
        from sglang.srt.arg_groups.arg_utils import A, Arg

        class Model(msgspec.Struct):
            _NS_PATH = "model"
            model_path: A[str, Arg(help="Weights.", aliases=["--model"])]
            reasoning_parser: A[str | None, Arg(help="x", no_cli=True)] = None

        class Derived(msgspec.Struct):
            not_a_flag: A[int, "No namespace."] = 1
        """,
    "sglang/srt/parser/names.py": 'NAMES = {"qwen3", "gemma4"}',
    "sglang/cli/serve.py": "def _normalize_positional_model_path(extra_argv): ...",
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Writes ``files`` below ``root`` and returns it."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    return root
