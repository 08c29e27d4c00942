"""Turns a flag declaration into a :class:`~gemma4ctl.flags.table.Flag`."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from gemma4ctl.flags.extract.declarations import Declaration
from gemma4ctl.flags.extract.evaluate import EnumMember, NotStaticError, Scope, Symbol, resolve
from gemma4ctl.flags.table import Action, Flag, Nargs, Scalar, destination

STANDARD_ACTIONS: Mapping[str, Action] = {
    "append": "append",
    "store": "store",
    "store_false": "store_false",
    "store_true": "store_true",
    "argparse.BooleanOptionalAction": "boolean_optional",
    # SGLang's own
    "DeprecatedAction": "ignore",
    "DeprecatedAliasStoreAction": "store",
    "DeprecatedStoreConstAction": "store_const",
    "DeprecatedStoreTrueAction": "store_true",
    "LoRAPathAction": "store",
}
TYPE_NAMES = {"json.loads": "json", "json_list_type": "strict_json"}
ALLOWED_KEYS = "ALLOWED_KEYS_PER_PHASE"  # beside the function that reads such an object
DEPRECATED_HELP = re.compile(r"\W*(note:.*)?deprecated\b|.*\b(is|has been) deprecated\b", re.I)
REPLACEMENT_IN_TEXT = re.compile(r"\buse\W+(--[a-z0-9][\w-]*)", re.I)


def flag_of(declaration: Declaration) -> Flag:
    """The flag that ``declaration`` declares."""
    keywords = declaration.keywords
    action_name = _action_name(keywords)
    action = STANDARD_ACTIONS.get(action_name, "store")
    deprecated = action_name.startswith("Deprecated") or _says_deprecated(declaration.help)
    error = keywords.get("error_message")
    options = declaration.options
    return Flag(
        options=options + (_negations(options) if action == "boolean_optional" else ()),
        dest=keywords.get("dest") or destination(options),
        action="refuse" if error else action,
        type="lora_path" if action_name == "LoRAPathAction" else _type_name(keywords),
        nargs=_nargs(keywords, action),
        choices=_choices(keywords),
        default=_default(keywords, action),
        const=_plain(keywords.get("const_value", keywords.get("const"))),
        required=bool(keywords.get("required", False)),
        deprecated=deprecated,
        replacement=_replacement(declaration) if deprecated else None,
        error=error,
        keys=_keys(keywords.get("type")),
    )


def _action_name(keywords: Mapping[str, Any]) -> str:
    action = keywords.get("action", "store")
    return action.name if isinstance(action, Symbol) else str(action)


def _negations(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("--no-" + option[2:] for option in options if option.startswith("--"))


def _type_name(keywords: Mapping[str, Any]) -> str:
    type_ = keywords.get("type")
    name = type_.name if isinstance(type_, Symbol) else "str"
    return TYPE_NAMES.get(name, name)


def _keys(type_: Any) -> dict[str, tuple[str, ...]] | None:
    if not isinstance(type_, Symbol) or type_.node is None or type_.module is None:
        return None
    names = {node.id for node in ast.walk(type_.node) if isinstance(node, ast.Name)}
    if ALLOWED_KEYS not in names:
        return None
    keys: dict[str, tuple[str, ...]] = resolve(type_.module, ALLOWED_KEYS)
    return keys


def _nargs(keywords: Mapping[str, Any], action: Action) -> Nargs:
    if "nargs" in keywords:
        nargs: Nargs = keywords["nargs"]
        return nargs
    custom = keywords.get("action")
    declared = _constructor_default(custom, "nargs") if isinstance(custom, Symbol) else None
    if isinstance(declared, int):
        return declared
    return None if action in ("store", "append") else 0


def _constructor_default(action: Symbol, name: str) -> Any:
    """The default of the parameter ``name`` of the constructor of an action class, else None."""
    if not isinstance(action.node, ast.ClassDef) or action.module is None:
        return None
    for statement in action.node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            parameters = statement.args.args[
                len(statement.args.args) - len(statement.args.defaults) :
            ]
            for parameter, default in zip(parameters, statement.args.defaults, strict=True):
                if parameter.arg == name:
                    return Scope(action.module).value(default)
    return None


def _choices(keywords: Mapping[str, Any]) -> tuple[Scalar, ...] | None:
    choices = keywords.get("choices")
    if choices is None:
        return None
    if isinstance(choices, Symbol):
        raise NotStaticError(f"choices: {choices.name}")
    plain = (_plain(choice) for choice in choices)
    return tuple(sorted(plain, key=str) if isinstance(choices, set | frozenset) else plain)


def _default(keywords: Mapping[str, Any], action: Action) -> Any:
    if "default" not in keywords and action == "store_true":
        return False
    return _plain(keywords.get("default"))


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it; None for what SGLang computes when it starts."""
    match value:
        case EnumMember(value=inner):
            return inner
        case Symbol():
            return None
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted(_plain(item) for item in value)
    return value


def _says_deprecated(text: str) -> bool:
    return DEPRECATED_HELP.match(text) is not None


def _replacement(declaration: Declaration) -> str | None:
    new_flag = declaration.keywords.get("new_flag")
    if new_flag is not None:
        return str(new_flag)
    text = declaration.keywords.get("error_message") or declaration.help
    named = REPLACEMENT_IN_TEXT.findall(text)
    return next((option for option in named if option not in declaration.options), None)
