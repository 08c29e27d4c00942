"""Computes the constant expressions of a module without running it.

Enough of Python to follow what SGLang writes where it declares flags: literals, names and imports,
arithmetic on them, comprehensions, enumerations, class attributes, ``dict.keys()`` and functions
without arguments. Everything else raises NotStaticError.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gemma4ctl.flags.extract.source import Definition, Library, Module, imported_names


class NotStaticError(Exception):
    """An expression that only running the program would give a value."""


@dataclass(frozen=True)
class Symbol:
    """A class, function or unread module, by its name; ``node`` is its definition where known."""

    name: str
    node: ast.ClassDef | ast.FunctionDef | None = None
    module: Module | None = None


@dataclass(frozen=True)
class EnumMember:
    """A member of an enumeration of the source tree."""

    name: str
    value: Any


OPAQUE = Symbol("?")  # a dictionary value that cannot be computed and is not asked for
BUILTIN_TYPES = frozenset({"bool", "dict", "float", "int", "list", "set", "str", "tuple"})
COLLECTIONS: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "dict": dict,
    "frozenset": frozenset,
    "list": list,
    "set": set,
    "sorted": sorted,
    "tuple": tuple,
}
METHODS: Mapping[type, frozenset[str]] = {
    dict: frozenset({"copy", "keys", "values"}),
    list: frozenset({"copy"}),
    str: frozenset({"join", "lower", "replace", "upper"}),
}
OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.BitOr: operator.or_,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
}


@dataclass
class Scope:
    """Where names are looked up: ``variables`` first, then the definitions of ``module``.

    ``fields`` are the declared defaults of ``ServerArgs``, which SGLang reads back by name.
    """

    module: Module
    variables: dict[str, Any] = field(default_factory=dict)
    fields: Mapping[str, ast.expr | None] = field(default_factory=dict)

    def value(self, node: ast.expr) -> Any:
        """The value of the expression ``node``; raises NotStaticError."""
        evaluate = _EVALUATORS.get(type(node))
        if evaluate is None:
            raise NotStaticError(ast.unparse(node))
        try:
            return evaluate(self, node)
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise NotStaticError(f"{ast.unparse(node)}: {error}") from error

    def with_variables(self, **variables: Any) -> Scope:
        """This scope with more variables."""
        return Scope(self.module, {**self.variables, **variables}, self.fields)


def resolve(module: Module, name: str) -> Any:
    """The value or Symbol that ``name`` has at the top level of ``module``."""
    if name in module.definitions:
        return _defined(module, name, module.definitions[name])
    if name in module.imports:
        return _imported(module.library, *module.imports[name])
    if name in BUILTIN_TYPES:
        return Symbol(name)
    raise NotStaticError(f"{module.name}.{name}")


def _defined(module: Module, name: str, node: Definition) -> Any:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return Symbol(name, node, module)
    return Scope(module).value(node)


def _imported(library: Library, module_name: str, name: str | None) -> Any:
    if name is None:
        return Symbol(module_name, module=library.module(module_name))
    module = library.module(module_name)
    if module and (name in module.definitions or name in module.imports):
        return resolve(module, name)
    submodule = library.module(f"{module_name}.{name}")
    return Symbol(name, module=submodule)


def enum_members(symbol: Symbol) -> list[EnumMember] | None:
    """The members of the enumeration ``symbol``, None where it is not one."""
    node, module = symbol.node, symbol.module
    if not isinstance(node, ast.ClassDef) or module is None:
        return None
    if not any("Enum" in ast.unparse(base) for base in node.bases):
        return None
    members: list[EnumMember] = []
    for statement in node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)) if ast.unparse(
                func
            ).endswith("auto"):
                members.append(EnumMember(name, len(members) + 1))
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                members.append(EnumMember(name, Scope(module).value(value)))
    return members


def _iterable(value: Any) -> Iterable[Any]:
    if isinstance(value, Symbol):
        members = enum_members(value)
        if members is None:
            raise NotStaticError(value.name)
        return members
    iterable: Iterable[Any] = value
    return iterable


def _constant(_: Scope, node: Any) -> Any:
    return node.value


def _name(scope: Scope, node: Any) -> Any:
    if node.id in scope.variables:
        return scope.variables[node.id]
    return resolve(scope.module, node.id)


def _list(scope: Scope, node: Any) -> list[Any]:
    values: list[Any] = []
    for element in node.elts:
        if isinstance(element, ast.Starred):
            values += _iterable(scope.value(element.value))
        else:
            values.append(scope.value(element))
    return values


def _dict(scope: Scope, node: Any) -> dict[Any, Any]:
    values: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            values |= scope.value(value)
        else:
            values[_plain(scope.value(key))] = _value_or_opaque(scope, value)
    return values


def _value_or_opaque(scope: Scope, node: ast.expr) -> Any:
    try:
        return scope.value(node)
    except NotStaticError:
        return OPAQUE


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, EnumMember) else value


def _binary(scope: Scope, node: Any) -> Any:
    return OPERATORS[type(node.op)](scope.value(node.left), scope.value(node.right))


def _unary(scope: Scope, node: Any) -> Any:
    if not isinstance(node.op, ast.USub):
        raise NotStaticError(ast.unparse(node))
    return -scope.value(node.operand)


def _subscript(scope: Scope, node: Any) -> Any:
    return scope.value(node.value)[scope.value(node.slice)]


def _comprehension(scope: Scope, node: Any) -> list[Any]:
    (generator,) = node.generators
    if generator.ifs or not isinstance(generator.target, ast.Name):
        raise NotStaticError(ast.unparse(node))
    items = _iterable(scope.value(generator.iter))
    return [scope.with_variables(**{generator.target.id: item}).value(node.elt) for item in items]


def _attribute(scope: Scope, node: Any) -> Any:
    if ast.unparse(node) == "argparse.SUPPRESS":
        return None
    base = scope.value(node.value)
    if isinstance(base, EnumMember) and node.attr in ("name", "value"):
        return getattr(base, node.attr)
    if not isinstance(base, Symbol):
        raise NotStaticError(ast.unparse(node))
    if base.name == "ServerArgs" and node.attr in scope.fields:
        return field_default(scope, node.attr)
    if isinstance(base.node, ast.ClassDef):
        return _class_attribute(base, node.attr)
    if base.module is not None:
        return resolve(base.module, node.attr)
    return Symbol(f"{base.name}.{node.attr}")


def _class_attribute(symbol: Symbol, name: str) -> Any:
    members = enum_members(symbol) or ()
    for member in members:
        if member.name == name:
            return member
    assert isinstance(symbol.node, ast.ClassDef)
    assert symbol.module is not None
    body = Module(symbol.module.name, symbol.module.library, symbol.node.body)
    inner = {**symbol.module.definitions, **body.definitions}
    scope = Module(body.name, body.library, [], inner, symbol.module.imports)
    return resolve(scope, name)


def field_default(scope: Scope, name: str) -> Any:
    """The declared default of the field ``name`` of ``ServerArgs``; None where it has none."""
    node = scope.fields[name]
    return None if node is None else scope.value(node)


def _call(scope: Scope, node: Any) -> Any:
    called = ast.unparse(node.func)
    if called in COLLECTIONS:
        return COLLECTIONS[called](_iterable(scope.value(node.args[0])) if node.args else ())
    if called.rpartition(".")[2] == "field":
        return _field_call(scope, node)
    if called == "_declared_default":
        return field_default(scope, scope.value(node.args[0]))
    if isinstance(node.func, ast.Attribute):
        owner = scope.value(node.func.value)
        if node.func.attr in METHODS.get(type(owner), ()):
            return getattr(owner, node.func.attr)(*map(scope.value, node.args))
    function = scope.value(node.func)
    if node.args or node.keywords or not isinstance(function, Symbol):
        raise NotStaticError(ast.unparse(node))
    return _returned(function)


def _field_call(scope: Scope, node: ast.Call) -> Any:
    for keyword in node.keywords:
        if keyword.arg == "default":
            return scope.value(keyword.value)
        if keyword.arg == "default_factory" and isinstance(keyword.value, ast.Lambda):
            return scope.value(keyword.value.body)
        if keyword.arg == "default_factory":
            return COLLECTIONS[ast.unparse(keyword.value)](())
    return None


def _returned(function: Symbol) -> Any:
    """What a function without arguments returns at its top level, branches left out."""
    if not isinstance(function.node, ast.FunctionDef) or function.module is None:
        raise NotStaticError(f"{function.name}()")
    outer = function.module
    local = Module(outer.name, outer.library, [], outer.definitions, dict(outer.imports))
    scope = Scope(local)
    for statement in function.node.body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                local.imports |= imported_names(statement)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                scope.variables[name] = _value_or_opaque(scope, value)
            case ast.Return(value=ast.expr() as value):
                return scope.value(value)
    raise NotStaticError(f"{function.name}()")


_EVALUATORS: Mapping[type[ast.expr], Callable[[Scope, Any], Any]] = {
    ast.Attribute: _attribute,
    ast.BinOp: _binary,
    ast.Call: _call,
    ast.Constant: _constant,
    ast.Dict: _dict,
    ast.GeneratorExp: _comprehension,
    ast.List: _list,
    ast.ListComp: _comprehension,
    ast.Name: _name,
    ast.Set: lambda scope, node: set(_list(scope, node)),
    ast.Subscript: _subscript,
    ast.Tuple: lambda scope, node: tuple(_list(scope, node)),
    ast.UnaryOp: _unary,
}
