"""SGLang's own argument parser, imported from an unpacked wheel without torch.

Only the standard library, ``msgspec`` and ``packaging`` are needed (plus ``orjson`` for the JSON
flags): every other absent package is replaced by inert stand-ins, so that the module level of
SGLang runs while nothing of it computes. Run as a script it serves one release to
``parser_agreement.py``: a JSON list of argv lists on stdin, a JSON object on stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import io
import json
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Packages whose ``__init__`` does heavy work and is not needed: their modules are imported alone.
BARE_PACKAGES = (
    "sglang",
    "sglang.srt",
    *(
        f"sglang.srt.{name}"
        for name in (
            "configs",
            "distributed",
            "function_call",
            "layers",
            "model_executor",
            "models",
            "parser",
            "speculative",
        )
    ),
    "sglang.kernels",
    "sglang.kernels.ops",
    "sglang.kernels.ops.attention",
    "sglang.kernels.ops.attention.fla",
    "sglang.kernels.ops.kv_canary",
    "sglang.jit_kernel",
)
# Modules of SGLang that run kernels or patch other packages when imported.
REPLACED_MODULES = (
    "sglang.kernels.ops.attention.fla.chunk_delta_h",
    "sglang.srt.connector",
    "sglang.srt.distributed.device_communicators",
    "sglang.srt.layers.attention.fla",
    "sglang.srt.utils.hf_transformers",
)
STAND_IN_VERSION = "9.9.9"


class _StandIn(type):
    """A class that can be called, subclassed, indexed, compared and computed with, to no effect."""

    def __getattr__(cls, name: str) -> Any:
        if name == "__class_validators__":  # pydantic asks
            return []
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(name)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        used_as_decorator = len(args) == 1 and not kwargs
        if used_as_decorator and isinstance(args[0], (types.FunctionType, type)):
            return args[0]
        used_as_metaclass = len(args) == 3 and isinstance(args[1], tuple)
        if used_as_metaclass:
            return type.__call__(cls, *args)
        return _stand_in(cls.__name__)

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __exit__(cls, *_: object) -> None:
        """Lets every exception through."""


def _same(cls: Any, *_: object) -> Any:
    return cls


_ANSWERS: dict[str, Callable[..., Any]] = {
    "add enter floordiv getitem mod mul neg or pos radd rmul ror rsub sub truediv": _same,
    "index int len": lambda _: 0,
    "float": lambda _: 0.0,
    "format": lambda *_: "0",
    "le lt": lambda *_: True,
    "bool contains ge gt": lambda *_: False,
}
for _names, _answer in _ANSWERS.items():
    for _name in _names.split():
        setattr(_StandIn, f"__{_name}__", _answer)


def _stand_in(name: str) -> Any:
    ignore_subclass = classmethod(lambda cls, **_: None)
    return _StandIn(name, (), {"__module__": "stand_in", "__init_subclass__": ignore_subclass})


class _StandInModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = STAND_IN_VERSION if name.endswith("_version") else _stand_in(name)
        setattr(self, name, value)
        return value


class _StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module that ``wanted`` names, as a stand-in."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self.wanted = wanted

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not self.wanted(fullname):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = _StandInModule(spec.name)
        module.__path__ = []
        module.__dict__["__version__"] = STAND_IN_VERSION
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """A stand-in has nothing to run."""


def _is_third_party(name: str) -> bool:
    top = name.partition(".")[0]
    return top != "sglang" and top not in sys.stdlib_module_names and not top.startswith("_")


def _bare_package(name: str, folder: Path) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    module.__dict__["__version__"] = "0"
    return module


def _install_stand_ins(tree: Path) -> None:
    installed_version = importlib.metadata.version

    def version(distribution_name: str) -> str:
        try:
            return installed_version(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            return STAND_IN_VERSION

    importlib.metadata.version = version
    for name in BARE_PACKAGES:
        folder = tree.joinpath(*name.split("."))
        if folder.is_dir():
            sys.modules[name] = _bare_package(name, folder)
    sys.meta_path.insert(0, _StandInFinder(lambda name: name.startswith(REPLACED_MODULES)))
    sys.meta_path.append(_StandInFinder(_is_third_party))


def real_parser(tree: Path) -> argparse.ArgumentParser:
    """The parser that ``sglang serve`` builds, from the unpacked wheel in the folder ``tree``.

    Changes the import system of this process for good: one release a process.
    """
    sys.path.insert(0, str(tree))
    _install_stand_ins(tree)
    torch: Any = importlib.import_module("torch")
    torch.__version__ = "2.13.0"
    torch.version = types.SimpleNamespace(hip=None, cuda=None, git_version="", xpu=None, musa=None)
    server_args: Any = importlib.import_module("sglang.srt.server_args")
    parser = argparse.ArgumentParser(prog="sglang serve")
    server_args.ServerArgs.add_cli_args(parser)
    return parser


EFFECTS = {
    "BooleanOptionalAction": "boolean_optional",
    "DeprecatedAliasStoreAction": "store",
    "DeprecatedStoreConstAction": "store_const",
    "DeprecatedStoreTrueAction": "store_true",
    "LoRAPathAction": "store",
    "_StoreAction": "store",
    "_StoreTrueAction": "store_true",
}
TYPE_NAMES = {"json_list_type": "strict_json", "loads": "json"}


def describe(action: argparse.Action) -> dict[str, Any]:
    """What a flag table says of ``action``, in its words."""
    kind = type(action).__name__
    error = getattr(action, "error_message", None)
    type_name = getattr(action.type, "__name__", "str")
    if kind == "LoRAPathAction":
        type_name = "lora_path"
    suppressed = action.default is argparse.SUPPRESS
    return {
        "options": list(action.option_strings),
        "dest": action.dest,
        "nargs": action.nargs,
        "choices": None if action.choices is None else sorted(map(str, action.choices)),
        "default": None if suppressed else _plain(action.default),
        "required": action.required,
        "effect": EFFECTS.get(kind, "refuse" if error else "ignore"),
        "type": None if action.nargs == 0 else TYPE_NAMES.get(type_name, type_name),
        "error_message": error,
    }


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def judge(parse: Callable[[list[str]], object], argv: list[str]) -> str | None:
    """None where ``parse`` accepts ``argv``, else the last line of what it said."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parse(argv)
    except SystemExit:
        return said.getvalue().strip().rpartition("\n")[2][:300]
    except Exception as error:  # SGLang and its custom actions raise what they like
        return f"{type(error).__name__}: {error}"[:300]
    return None


def serve_parser(parser: argparse.ArgumentParser) -> Callable[[list[str]], object]:
    """What ``sglang serve`` does with its arguments until the language-model parser has them."""
    serve: Any = importlib.import_module("sglang.cli.serve")
    utils: Any = importlib.import_module("sglang.cli.utils")
    normalize = getattr(serve, "_normalize_positional_model_path", lambda argv: (argv, False))
    registry = getattr(serve, "_create_backend_registry", None)

    def parse(argv: list[str]) -> object:
        model_type, rest = serve._extract_model_type_override(argv)
        rest, _ = normalize(rest)
        if registry is not None and model_type != "auto":
            registry().get(model_type)
        utils.get_model_path(rest)
        return parser.parse_args(rest)

    return parse


def main() -> None:
    """Judge the argv lists on stdin with the release in the folder ``sys.argv[1]``."""
    parser = real_parser(Path(sys.argv[1]).resolve())
    serve = serve_parser(parser)
    commands: list[list[str]] = json.load(sys.stdin)
    answer = {
        "flags": [describe(a) for a in parser._actions if a.dest != "help"],
        "serve": [judge(serve, argv) for argv in commands],
        "module": [judge(parser.parse_args, argv) for argv in commands],
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
