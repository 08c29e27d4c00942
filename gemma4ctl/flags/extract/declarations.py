"""Finds the flag declarations of an SGLang source tree, in each of the three layouts it has had.

- until 0.5.13: one ``parser.add_argument(...)`` a flag in ``ServerArgs.add_cli_args``;
- 0.5.14 to 0.5.19: annotated fields of ``ServerArgs``, ``name: A[type, Arg(...)] = default``, with
  a few ``add_argument`` calls left;
- from 0.5.20: the annotated fields live in the classes of ``arg_groups/fields/*.py``.

A declaration is what ``add_argument`` is called with, whatever the layout.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gemma4ctl.flags.extract.evaluate import NotStaticError, Scope, Symbol
from gemma4ctl.flags.extract.source import Library, Module, NotSglangError, SourceTree

SERVER_ARGS = "sglang.srt.server_args"
FIELD_MODULES = "sglang.srt.arg_groups.fields"
# Keywords that make no difference to which command lines are accepted.
UNREAD_KEYWORDS = frozenset({"help", "metavar", "resolvable", "fallback", "version"})
SCALARS = frozenset({"float", "int", "str"})


@dataclass(frozen=True)
class Declaration:
    """The options and keyword arguments of one ``add_argument`` call, and its help text."""

    options: tuple[str, ...]
    keywords: Mapping[str, Any]
    help: str


@dataclass(frozen=True)
class Field:
    """One field of a class that declares flags; ``default`` is None where it has none."""

    name: str
    annotation: ast.expr
    default: ast.expr | None
    scope: Scope


def declarations(tree: SourceTree) -> list[Declaration]:
    """Every flag declaration of the SGLang source in ``tree``; raises NotSglangError."""
    library = Library(tree)
    module = library.module(SERVER_ARGS)
    server_args = _class(module, "ServerArgs") if module else None
    if module is None or server_args is None:
        raise NotSglangError(
            "These files declare no SGLang flags.",
            needed="sglang/srt/server_args.py with the class ServerArgs",
            remedies=("give an SGLang wheel or the folder that contains the package sglang",),
            code="not-sglang",
        )
    fields = {field.name: field for field in _all_fields(library, module, server_args)}
    annotated = [d for field in fields.values() if (d := _of_field(field)) is not None]
    defaults = {field.name: field.default for field in fields.values()}
    return annotated + list(_of_calls(module, server_args, defaults))


def _class(module: Module, name: str) -> ast.ClassDef | None:
    """The class statement ``name``, even where the name is bound again after it."""
    classes = (node for node in module.body if isinstance(node, ast.ClassDef))
    return next((node for node in classes if node.name == name), None)


def takes_positional_model(tree: SourceTree) -> bool:
    """Whether ``sglang serve MODEL`` is accepted, as ``sglang serve --model-path MODEL`` is."""
    text = tree.read("sglang/cli/serve.py") or ""
    return "_normalize_positional_model_path" in text


# --- annotated fields


def _all_fields(library: Library, module: Module, server_args: ast.ClassDef) -> Iterator[Field]:
    yield from _fields(module, server_args)
    for file in library.tree.names(FIELD_MODULES.replace(".", "/")):
        name, _, suffix = file.rpartition(".")
        fields = library.module(f"{FIELD_MODULES}.{name}") if suffix == "py" else None
        for node in fields.body if fields else ():
            if fields and isinstance(node, ast.ClassDef) and _is_namespace(node):
                yield from _fields(fields, node)


def _is_namespace(node: ast.ClassDef) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == "_NS_PATH"
        for statement in node.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
    )


def _fields(module: Module, node: ast.ClassDef) -> Iterator[Field]:
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                yield Field(name, annotation, value, Scope(module))


def _of_field(field: Field) -> Declaration | None:
    """The declaration that SGLang derives from an annotated field; None for any other field."""
    match field.annotation:
        case ast.Subscript(
            value=ast.Name(id="A" | "Annotated"), slice=ast.Tuple(elts=[type_, *metadata])
        ):
            meta = next(filter(None, map(_metadata, metadata)), None)
        case _:
            return None
    if meta is None:
        return None
    values = _keywords(field.scope, meta)
    if values.get("no_cli"):
        return None
    option = values.get("cli_name") or "--" + field.name.replace("_", "-")
    keywords = {"dest": field.name, **_default(field), **_value_keywords(field, type_, values)}
    return Declaration((option, *(values.get("aliases") or ())), keywords, _help(meta))


def _metadata(node: ast.expr) -> ast.Call | None:
    """The ``Arg(...)`` of an annotation; a bare help text stands for ``Arg(help=...)``."""
    match node:
        case ast.Call(func=ast.Name(id="Arg")):
            return node
        case ast.Constant(value=str()) | ast.JoinedStr():
            return ast.Call(ast.Name("Arg"), [], [ast.keyword("help", node)])
    return None


def _default(field: Field) -> dict[str, Any]:
    if field.default is None:
        return {}
    try:
        return {"default": field.scope.value(field.default)}
    except NotStaticError:
        return {"default": None}  # computed when the server starts


def _value_keywords(field: Field, type_: ast.expr, arg: Mapping[str, Any]) -> dict[str, Any]:
    """Type, arity, choices and action that SGLang gives a field of the annotated ``type_``."""
    if arg.get("action") is not None:
        return {"action": arg["action"], **(arg.get("action_kwargs") or {})}
    inner = _without_none(type_)
    if choices := _literal(field.scope, inner):
        kind = arg.get("type_parser") or Symbol(_scalar_name(type(choices[0]).__name__))
        return {"type": kind, "choices": arg.get("choices") or choices, **_const(arg)}
    item = _list_item(inner)
    if item is not None and arg.get("type_parser") is None:
        return {
            "type": _scalar(item),
            "nargs": arg.get("nargs") or "+",
            "choices": arg.get("choices"),
            **_const(arg),
        }
    if _is_name(inner, "bool"):
        return {"action": "store_true"}
    no_default = field.default is None
    return {
        "type": arg.get("type_parser") or _scalar(inner),
        "nargs": arg.get("nargs"),
        "choices": arg.get("choices"),
        "required": no_default if arg.get("required") is None else arg["required"],
        **_const(arg),
    }


def _const(arg: Mapping[str, Any]) -> dict[str, Any]:
    return {"const": arg["const"]} if arg.get("const") is not None else {}


def _without_none(type_: ast.expr) -> ast.expr | None:
    """X of ``Optional[X]``, ``Union[X, None]`` and ``X | None``; None for a union of several."""
    match type_:
        case ast.Constant(value=str() as quoted):
            return _without_none(ast.parse(quoted, mode="eval").body)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _without_none(inner)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=elements)):
            return _only(elements)
        case ast.BinOp(op=ast.BitOr()):
            return _only(_union_members(type_))
    return type_


def _union_members(type_: ast.expr) -> list[ast.expr]:
    match type_:
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _union_members(left) + _union_members(right)
    return [type_]


def _only(elements: list[ast.expr]) -> ast.expr | None:
    present = [e for e in elements if not (isinstance(e, ast.Constant) and e.value is None)]
    return _without_none(present[0]) if len(present) == 1 else None


def _literal(scope: Scope, type_: ast.expr | None) -> list[Any] | None:
    match type_:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple() as values):
            return list(scope.value(values))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=value):
            return [scope.value(value)]
        case ast.Name(id=name):
            alias = scope.module.definitions.get(name)
            return _literal(scope, alias) if isinstance(alias, ast.Subscript) else None
    return None


def _list_item(type_: ast.expr | None) -> ast.expr | None:
    match type_:
        case ast.Subscript(value=ast.Name(id="List" | "list"), slice=item):
            return item
    return None


def _is_name(type_: ast.expr | None, name: str) -> bool:
    return isinstance(type_, ast.Name) and type_.id == name


def _scalar(type_: ast.expr | None) -> Symbol:
    return Symbol(_scalar_name(type_.id if isinstance(type_, ast.Name) else ""))


def _scalar_name(name: str) -> str:
    """SGLang reads everything that is no number as text."""
    return name if name in SCALARS else "str"


# --- add_argument calls


def _of_calls(
    module: Module, server_args: ast.ClassDef, defaults: Mapping[str, ast.expr | None]
) -> Iterator[Declaration]:
    scope = Scope(module, {}, defaults)
    function = _add_cli_args(server_args)
    parser = function.args.args[0].arg
    for statement in function.body:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id="add_cli_args_from_dataclass"))):
                pass  # the annotated fields
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                scope.variables[name] = _computed(scope, value)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="add_argument")) as call):
                options = tuple(scope.value(option) for option in call.args)
                yield Declaration(options, _keywords(scope, call), _help(call))
            case _ if _uses(statement, parser):
                raise NotStaticError(ast.unparse(statement).partition("\n")[0])


def _add_cli_args(server_args: ast.ClassDef) -> ast.FunctionDef:
    for statement in server_args.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "add_cli_args":
            return statement
    raise NotStaticError("ServerArgs.add_cli_args")


def _uses(statement: ast.stmt, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(statement))


def _computed(scope: Scope, node: ast.expr) -> Any:
    try:
        return scope.value(node)
    except NotStaticError:
        return Symbol(ast.unparse(node))


def _keywords(scope: Scope, call: ast.Call) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise NotStaticError(ast.unparse(call))
        if keyword.arg in UNREAD_KEYWORDS:
            continue
        if keyword.arg == "default":
            keywords["default"] = _computed(scope, keyword.value)
        else:
            keywords[keyword.arg] = scope.value(keyword.value)
    return keywords


def _help(call: ast.Call) -> str:
    """The constant parts of the help text of ``call``."""
    texts = (keyword.value for keyword in call.keywords if keyword.arg == "help")
    return " ".join(
        part.value
        for text in texts
        for part in ast.walk(text)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
