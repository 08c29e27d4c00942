"""Flag tables: what ``sglang serve`` of one release accepts.

The tables are JSON files in ``tables/``, one a release, generated from the published wheels by
``tools/flag_tables.py``. An attribute that has its usual value is left out of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gemma4ctl.model import Model

TABLES = Path(__file__).parent / "tables"

Action = Literal[
    "append",
    "boolean_optional",  # --x and --no-x
    "ignore",  # accepted without effect
    "refuse",  # SGLang stops with Flag.error
    "store",
    "store_const",
    "store_false",
    "store_true",
]
Nargs = int | Literal["?", "*", "+"] | None
Scalar = str | int | float | None


class Flag(NamedTuple):
    """One flag, with the meaning that argparse gives the same words.

    ``nargs`` is 0 for a flag without a value and None for one that takes exactly one. ``type`` is
    a name of :mod:`gemma4ctl.flags.types`. ``default`` and ``const`` are None where there is none
    or SGLang computes it when it starts. ``replacement`` is the new spelling of a deprecated flag
    as SGLang gives it, which may hold a value (``--new=disabled``) or a placeholder.
    ``keys`` are the keys allowed in each member of a flag whose value is a JSON object.
    """

    options: tuple[str, ...]
    dest: str
    action: Action = "store"
    type: str = "str"
    nargs: Nargs = None
    choices: tuple[Scalar, ...] | None = None
    default: Any = None
    const: Any = None
    required: bool = False
    deprecated: bool = False
    replacement: str | None = None
    error: str | None = None
    keys: Mapping[str, tuple[str, ...]] | None = None

    @property
    def canonical(self) -> str:
        """The option string to write: the one named like ``dest``, else the first."""
        named = "--" + self.dest.replace("_", "-")
        return named if named in self.options else self.options[0]

    @property
    def takes_value(self) -> bool:
        """Whether words after the flag can belong to it."""
        return self.nargs != 0


HELP = Flag(("-h", "--help"), "help", action="ignore", nargs=0)
MODEL_TYPE = Flag(("--model-type",), "model_type", choices=("auto", "llm", "diffusion"))


class Match(NamedTuple):
    """What argparse takes an option for.

    ``option`` is the full option string and ``flag`` its flag, both None unless the option is
    exact or a unique prefix. ``candidates`` are the option strings an ambiguous prefix could mean;
    ``nearest`` is the option string most like an unknown one.
    """

    kind: Literal["exact", "prefix", "ambiguous", "unknown"]
    option: str | None = None
    flag: Flag | None = None
    candidates: tuple[str, ...] = ()
    nearest: str | None = None


NEAR = 0.8  # how alike an unknown option and the one it may stand for must be


class FlagTable(Model):
    """All flags of a release, sorted by their option strings.

    ``exact`` is False for the newest known table standing in for a release that has none.
    ``positional_model`` says whether ``sglang serve MODEL`` is accepted. ``wheel`` and ``sha256``
    name the file the table was generated from; None for one read from an installed SGLang.
    """

    release: str
    flags: tuple[Flag, ...]
    positional_model: bool = True
    wheel: str | None = None
    sha256: str | None = None
    exact: bool = True

    @cached_property
    def by_option(self) -> Mapping[str, Flag]:
        """Option string -> flag, ``--help`` included."""
        return {option: flag for flag in (*self.flags, HELP) for option in flag.options}

    @cached_property
    def required(self) -> tuple[Flag, ...]:
        """The flags that a command line must have."""
        return tuple(flag for flag in self.flags if flag.required)

    def find(self, option: str) -> Flag | None:
        """The flag with the exact option string ``option``."""
        return self.by_option.get(option)

    def flag_of(self, dest: str) -> Flag | None:
        """The flag that sets ``dest``, deprecated aliases left aside where there is another."""
        setting = [flag for flag in self.flags if flag.dest == dest]
        return min(setting, key=lambda flag: flag.deprecated, default=None)

    def match(self, option: str) -> Match:
        """What argparse takes ``option`` (without ``=value``) for: exact or by its prefix."""
        exact = self.find(option)
        if exact is not None:
            return Match("exact", option, exact)
        candidates = tuple(self.match_prefix(option))
        if len(candidates) == 1:
            return Match("prefix", candidates[0], self.by_option[candidates[0]])
        if candidates:
            return Match("ambiguous", candidates=candidates)
        return Match("unknown", nearest=self._nearest(option))

    def canonical(self, option: str) -> str:
        """The option string to write for ``option``; ``option`` itself where it means no flag."""
        match = self.match(option)
        if match.flag is None or match.option is None:
            return option
        negates = match.flag.action == "boolean_optional" and match.option.startswith("--no-")
        return match.option if negates else match.flag.canonical

    def match_prefix(self, prefix: str) -> list[str]:
        """The option strings that start with ``prefix``; none for a single dash."""
        if not prefix.startswith("--"):
            return []
        return [option for option in self.by_option if option.startswith(prefix)]

    def _nearest(self, option: str) -> str | None:
        from difflib import get_close_matches  # only a mistake pays for it

        nearest = get_close_matches(option, self.by_option, n=1, cutoff=NEAR)
        return nearest[0] if nearest else None


def destination(options: tuple[str, ...]) -> str:
    """The ``dest`` that argparse derives from option strings."""
    long = next((option for option in options if option.startswith("--")), options[0])
    return long.lstrip("-").replace("-", "_")


# --- files


def _usual(flag: Mapping[str, Any]) -> dict[str, Any]:
    """The values that attributes of ``flag`` have when its file entry leaves them out."""
    action = flag.get("action", "store")
    return {
        **Flag._field_defaults,
        "dest": destination(tuple(flag["options"])),
        "nargs": None if action in ("append", "store") else 0,
        "default": False if action == "store_true" else None,
    }


def flag_to_json(flag: Flag) -> dict[str, Any]:
    """The file entry of ``flag``: its attributes that are not usual."""
    values = flag._asdict()
    usual = _usual(values)
    return {
        name: value for name, value in values.items() if name not in usual or usual[name] != value
    }


def flag_from_json(entry: Mapping[str, Any]) -> Flag:
    """The flag of a file entry."""
    action = entry.get("action", "store")
    options = tuple(entry["options"])
    choices, keys = entry.get("choices"), entry.get("keys")
    return Flag(
        options,
        entry.get("dest") or destination(options),
        action,
        entry.get("type", "str"),
        entry.get("nargs", None if action in ("append", "store") else 0),
        None if choices is None else tuple(choices),
        entry.get("default", False if action == "store_true" else None),
        entry.get("const"),
        entry.get("required", False),
        entry.get("deprecated", False),
        entry.get("replacement"),
        entry.get("error"),
        None if keys is None else {name: tuple(allowed) for name, allowed in keys.items()},
    )


def to_text(table: FlagTable) -> str:
    """The file text of ``table``: JSON, one flag a line."""
    head = {
        "release": table.release,
        "wheel": table.wheel,
        "sha256": table.sha256,
        "positional_model": table.positional_model,
    }
    lines = [json.dumps(flag_to_json(flag), separators=(",", ":")) for flag in table.flags]
    return json.dumps(head)[:-1] + ', "flags": [\n' + ",\n".join(lines) + "\n]}\n"


def from_text(text: str) -> FlagTable:
    """The table in the file text ``text``."""
    data = json.loads(text)
    flags = tuple(map(flag_from_json, data.pop("flags")))
    return FlagTable(flags=flags, **data)


@lru_cache(maxsize=1)
def available() -> tuple[str, ...]:
    """The releases with a table, oldest first."""
    from packaging.version import Version

    return tuple(sorted((file.stem for file in TABLES.glob("*.json")), key=Version))


@lru_cache(maxsize=32)
def load(release: str) -> FlagTable:
    """The table of ``release``; for an unknown one the newest table, marked ``exact=False``."""
    file = TABLES / f"{release}.json"
    if "/" not in release and file.is_file():
        return from_text(file.read_text(encoding="utf-8"))
    return load(available()[-1]).model_copy(update={"exact": False})
