#!/usr/bin/env python3
"""Does gemma4ctl accept and refuse the commands that SGLang's own parser accepts and refuses?

    parser_agreement.py [RELEASE...] --wheels DIR [--commands N] [--seed S]

For each release (default: all that have a flag table) the flag table is compared with the real
parser flag by flag, and N random commands, many of them broken on purpose, are judged by both, each
for ``sglang serve`` and for ``python -m sglang.launch_server``. Writes one JSON file a release to
``results/parser_agreement/``; exits 1 when anything disagrees.

Needs msgspec, orjson and packaging beside gemma4ctl, and the wheels in DIR
(``tools/flag_tables.py --wheels DIR check`` downloads them). Neither torch nor a GPU.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gemma4ctl.flags.parse import Entry, parse
from gemma4ctl.flags.table import Flag, FlagTable, available, load

RESULTS = Path(__file__).parent / "results" / "parser_agreement"
REAL_PARSER = Path(__file__).with_name("real_parser.py")
MODEL = "google/gemma-4-26B-A4B-it"
# --help exits before the rest is read, --config brings words from a file: neither is generated.
LEFT_OUT = frozenset({"config", "help"})

GOOD_VALUES: dict[str, tuple[str, ...]] = {
    "float": ("0.5", "1", "-0.25", ".5", "1e-3", "inf"),
    "human_readable_int": ("8", "4k", "25.6k", "2Ki", "1M", "-1"),
    "int": ("0", "8", "-1", "1_000", "+3"),
    "json": ("{}", "[1, 2]", '{"a": {"b": 1}}', "null", "NaN"),
    "lora_path": ("/adapters/a", "name=/adapters/b", '{"lora_name":"a","lora_path":"/a"}'),
    "nullable_str": ("None", "", "text"),
    "parse_cuda_graph_config_arg": ("{}", '{"decode":{"backend":"full","max_bs":8}}'),
    "str": ("text", "", "a b", "-1", "-.5", "x=y", "-", "ünïcode", "- a b"),
    "strict_json": ("{}", "[1, 2]", '["a"]', "3"),
}
BAD_VALUES: dict[str, tuple[str, ...]] = {
    "float": ("x", "", "1,5", "0x1"),
    "human_readable_int": ("4K", "1.5Ki", "x", "", "1 k"),
    "int": ("1.5", "x", "", "8k"),
    "json": ("{", "x", "", "{'a': 1}"),
    "lora_path": ("{x}", '{"lora_name":"a"}'),
    "parse_cuda_graph_config_arg": ("[]", "{", '{"x":{}}', '{"decode":{"x":1}}', '{"decode":1}'),
    "strict_json": ("NaN", "[1", "x", ""),
}
STRAYS = ("stray", "--", "-", "", "-x", "-5", "--x y", "--no-such-flag", "--=1", "-p", "---")

Mutation = Callable[[list[str], FlagTable, random.Random], list[str]]


# --- commands


def flag_words(flag: Flag, rng: random.Random) -> list[str]:
    """A valid use of ``flag``."""
    option = rng.choice(flag.options)
    if flag.nargs == 0:
        return [option]
    values = [good_value(flag, rng) for _ in range(value_count(flag, rng))]
    if len(values) == 1 and rng.random() < 0.3:
        return [f"{option}={values[0]}"]
    return [option, *values]


def value_count(flag: Flag, rng: random.Random) -> int:
    """A number of values that ``flag`` takes."""
    least = 0 if flag.nargs in ("*", "?") else 1
    most = 3 if flag.nargs in ("*", "+") else 1
    return rng.randint(least, most)


def good_value(flag: Flag, rng: random.Random) -> str:
    """A value that ``flag`` accepts."""
    words = [str(choice) for choice in flag.choices or () if choice is not None]
    return rng.choice(words or GOOD_VALUES[flag.type])


def valid_command(table: FlagTable, rng: random.Random) -> list[str]:
    """The model and a few flags with good values, in any order."""
    usable = [flag for flag in table.flags if flag.dest not in LEFT_OUT and not flag.required]
    uses = [flag_words(flag, rng) for flag in rng.sample(usable, rng.randint(1, 6))]
    uses.append([rng.choice(("--model-path", "--model")), MODEL])
    rng.shuffle(uses)
    return [word for use in uses for word in use]


def option_indices(command: list[str]) -> list[int]:
    """Where the words that look like options are."""
    return [index for index, word in enumerate(command) if word.startswith("--")]


def misspell(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """One letter of an option swapped, dropped or doubled."""
    at = rng.choice(option_indices(command))
    word = command[at]
    cut = rng.randrange(2, max(len(word), 3))
    changed = rng.choice(
        (word[:cut] + word[cut + 1 :], word[:cut] + word[cut : cut + 1] + word[cut:])
    )
    return [*command[:at], changed, *command[at + 1 :]]


def abbreviate(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """An option cut short."""
    at = rng.choice(option_indices(command))
    option, equals, value = command[at].partition("=")
    short = option[: rng.randrange(3, max(len(option), 4))]
    return [*command[:at], short + equals + value, *command[at + 1 :]]


def drop_word(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """One word left out."""
    at = rng.randrange(len(command))
    return command[:at] + command[at + 1 :]


def add_stray(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """A word that belongs to nothing, anywhere."""
    at = rng.randrange(len(command) + 1)
    return [*command[:at], rng.choice(STRAYS), *command[at:]]


def spoil_value(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """A flag with a value of the wrong type or outside its choices."""
    flag = rng.choice([f for f in table.flags if f.choices or f.type in BAD_VALUES])
    value = "no-such-choice" if flag.choices else rng.choice(BAD_VALUES[flag.type])
    return [*command, rng.choice(flag.options), value]


def attach_value(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """A value attached to a flag, whether it takes one or not."""
    flag = rng.choice(table.flags)
    value = "1" if flag.nargs == 0 else good_value(flag, rng)
    return [*command, f"{rng.choice(flag.options)}={value}"]


def borrow_flag(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """A flag of another release."""
    other = load(rng.choice(available()))
    usable = [flag for flag in other.flags if flag.dest not in LEFT_OUT]
    return [*command, *flag_words(rng.choice(usable), rng)]


def repeat_flag(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """The same flag twice, by any of its names."""
    usable = [flag for flag in table.flags if flag.dest not in LEFT_OUT]
    flag = rng.choice(usable)
    return [*command, *flag_words(flag, rng), *flag_words(flag, rng)]


def lead_with_model(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """The model as the first word."""
    return [MODEL, *command]


def only_positional_model(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """The model as the first word and nowhere else."""
    kept = [word for word in command if word not in ("--model", "--model-path", MODEL)]
    return [MODEL, *kept]


def choose_model_type(command: list[str], table: FlagTable, rng: random.Random) -> list[str]:
    """The option that only ``sglang serve`` reads, anywhere."""
    at = rng.randrange(len(command) + 1)
    words = rng.choice((["--model-type", "llm"], ["--model-type=auto"], ["--model-type", "x"]))
    return [*command[:at], *words, *command[at:]]


MUTATIONS: tuple[Mutation, ...] = (
    abbreviate,
    add_stray,
    attach_value,
    borrow_flag,
    choose_model_type,
    drop_word,
    lead_with_model,
    misspell,
    only_positional_model,
    repeat_flag,
    spoil_value,
)


def make_commands(table: FlagTable, count: int, seed: int) -> list[list[str]]:
    """``count`` different commands, a third of them valid, the others mutated once or twice."""
    rng = random.Random(f"{table.release} {seed}")
    commands: dict[tuple[str, ...], None] = {}
    while len(commands) < count:
        command = valid_command(table, rng)
        for mutate in rng.choices(MUTATIONS, k=rng.randint(0, 2)):
            if option_indices(command):
                command = mutate(command, table, rng)
        if not asks_for_help(command, table):
            commands[tuple(command)] = None
    return [list(command) for command in commands]


def asks_for_help(command: Sequence[str], table: FlagTable) -> bool:
    """Whether a word means --help or --config, which a prefix can do by chance."""
    flags = (table.match(word.partition("=")[0]).flag for word in command if word.startswith("-"))
    return any(flag is not None and flag.dest in LEFT_OUT for flag in flags)


# --- judgement


def unpacked(release: str, wheels: Path) -> Path:
    """The Python files of the wheel of ``release``, unpacked beside the wheels."""
    folder = wheels / "unpacked" / release
    if not folder.is_dir():
        with zipfile.ZipFile(wheels / str(load(release).wheel)) as archive:
            members = [name for name in archive.namelist() if name.endswith(".py")]
            archive.extractall(folder, members)
    return folder


def ask_real_parser(tree: Path, commands: list[list[str]]) -> dict[str, Any]:
    """What the real parser of ``tree`` is made of and says to ``commands``."""
    done = subprocess.run(
        [sys.executable, str(REAL_PARSER), str(tree)],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{tree}: the real parser could not be imported\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def table_differences(table: FlagTable, real: list[dict[str, Any]]) -> list[str]:
    """How ``table`` differs from the flags of the real parser."""
    known = {flag.options: describe(flag) for flag in table.flags}
    found = {tuple(flag["options"]): flag for flag in real}
    differences = [f"{options[0]} only in one" for options in known.keys() ^ found.keys()]
    for options in known.keys() & found.keys():
        for name, value in known[options].items():
            if found[options][name] != value:
                differences.append(
                    f"{options[0]} {name}: {value!r}, really {found[options][name]!r}"
                )
    return sorted(differences)


def describe(flag: Flag) -> dict[str, Any]:
    """``flag`` in the words of ``real_parser.describe``."""
    return {
        "dest": flag.dest,
        "nargs": flag.nargs,
        "choices": None if flag.choices is None else sorted(map(str, flag.choices)),
        "default": flag.default,
        "required": flag.required,
        "effect": flag.action,
        "type": flag.type if flag.takes_value else None,
        "error_message": flag.error,
    }


def compare(release: str, wheels: Path, count: int, seed: int) -> dict[str, Any]:
    """The agreement of the table and parser of gemma4ctl with the real one, as a result record."""
    table = load(release)
    commands = make_commands(table, count, seed)
    real = ask_real_parser(unpacked(release, wheels), commands)
    record: dict[str, Any] = {
        "sglang_version": release,
        "wheel": table.wheel,
        "sha256": table.sha256,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "seed": seed,
        "flags": len(real["flags"]),
        "table_differences": table_differences(table, real["flags"]),
    }
    for entry in ("serve", "module"):
        record[entry] = tally(table, entry, commands, real[entry])
    return record


def tally(
    table: FlagTable, entry: Entry, commands: list[list[str]], errors: list[str | None]
) -> dict[str, Any]:
    """How many ``commands`` both accept, both refuse, and which they disagree on."""
    verdicts = [parse(command, table, entry) for command in commands]
    accepted = sum(v.accepted and error is None for v, error in zip(verdicts, errors, strict=True))
    disagreements = [
        {"argv": command, "real": error, "gemma4ctl": [p.message for p in verdict.problems]}
        for command, verdict, error in zip(commands, verdicts, errors, strict=True)
        if verdict.accepted != (error is None)
    ]
    return {
        "commands": len(commands),
        "accepted_by_both": accepted,
        "refused_by_both": len(commands) - accepted - len(disagreements),
        "disagreements": disagreements,
    }


def disagreement_count(record: dict[str, Any]) -> int:
    """Everything that ``record`` found different."""
    entries = (record[entry]["disagreements"] for entry in ("serve", "module"))
    return len(record["table_differences"]) + sum(map(len, entries))


def main() -> int:
    """Compares the releases of the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("release", nargs="*", default=list(available()))
    parser.add_argument("--wheels", type=Path, required=True, metavar="DIR")
    parser.add_argument("--commands", type=int, default=600, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    total = 0
    for release in options.release:
        record = compare(release, options.wheels, options.commands, options.seed)
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (RESULTS / f"{release}.json").write_text(text, encoding="utf-8")
        differing = disagreement_count(record)
        total += differing
        print(
            f"{release}: {record['flags']} flags, {options.commands} commands, {differing} differ"
        )
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
