#!/usr/bin/env python3
"""Generates the flag tables in ``gemma4ctl/flags/tables/`` from the published SGLang wheels.

    flag_tables.py add 0.5.24        download the wheel, write its table, update the history
    flag_tables.py update            write every table again
    flag_tables.py check             generate every table again and compare with the committed ones
    flag_tables.py check --offline   only what needs no wheel: form, order, hashes, history

Wheels are kept in ``--wheels DIR`` (default: the user's cache folder). SGLang is never imported.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.version import Version

from gemma4ctl.errors import Gemma4ctlError, ProblemsFoundError, UsageError
from gemma4ctl.flags import history, table
from gemma4ctl.flags.extract import WheelTree, extract
from gemma4ctl.flags.table import FlagTable

# One wheel of each release is read; only its Python files count, which all of them share.
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64", "any")
WHEEL_TAGS = ("--python-version", "3.12", "--implementation", "cp", "--abi", "cp312")
SHA256 = re.compile(r"[0-9a-f]{64}")


def default_wheels() -> Path:
    """The folder wheels are kept in."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "gemma4ctl" / "wheels"


def wheel_of(release: str, wheels: Path) -> Path:
    """The wheel of ``release`` in ``wheels``, downloaded where it is not there."""
    pattern = f"sglang-{release}-*.whl"
    found = sorted(wheels.glob(pattern))
    if not found:
        download(release, wheels)
        found = sorted(wheels.glob(pattern))
    return found[0]


def download(release: str, wheels: Path) -> None:
    """Downloads the wheel of ``release`` into ``wheels`` with pip."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", *WHEEL_TAGS, "--abi", "abi3", "--abi", "none", *platforms]
    command += ["--dest", str(wheels), f"sglang=={release}"]
    wheels.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UsageError(
            f"pip could not download the wheel of SGLang {release}.",
            needed=f"sglang=={release} on the package index",
            found=done.stderr.strip().rpartition("\n")[2] or f"pip exit status {done.returncode}",
            remedies=(f"put the wheel into {wheels}", "check the release and the network"),
        )


def generate(release: str, wheels: Path) -> FlagTable:
    """The table of ``release`` from its wheel."""
    wheel = wheel_of(release, wheels)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return replace(extract(WheelTree(wheel), release), wheel=wheel.name, sha256=digest)


def write(releases: Sequence[str], wheels: Path) -> None:
    """Writes the tables of ``releases`` and the history of all."""
    for release in releases:
        generated = generate(release, wheels)
        file = table.TABLES / f"{release}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(table.to_text(generated), encoding="utf-8")
        print(f"{release}: {len(generated.flags)} flags")
    history.FILE.write_text(history.to_text(history.spans_of(committed())), encoding="utf-8")


def releases_committed() -> list[str]:
    """The releases with a table file, oldest first."""
    return sorted((file.stem for file in table.TABLES.glob("*.json")), key=Version)


def committed() -> list[FlagTable]:
    """The tables as they are in the repository, oldest release first."""
    files = (table.TABLES / f"{release}.json" for release in releases_committed())
    return [table.from_text(file.read_text(encoding="utf-8")) for file in files]


def integrity_problems() -> Iterator[str]:
    """What is wrong with the committed files, found without a wheel."""
    tables = committed()
    for known, release in zip(tables, releases_committed(), strict=True):
        file = table.TABLES / f"{release}.json"
        if known.release != release:
            yield f"{file.name}: is the table of {known.release}"
        if table.to_text(known) != file.read_text(encoding="utf-8"):
            yield f"{file.name}: not in the form that this tool writes"
        if not known.sha256 or not SHA256.fullmatch(known.sha256) or not known.wheel:
            yield f"{file.name}: wheel or SHA-256 missing"
        if [flag.options for flag in known.flags] != sorted(flag.options for flag in known.flags):
            yield f"{file.name}: flags not sorted"
    recorded = history.FILE.read_text(encoding="utf-8") if history.FILE.exists() else ""
    if history.to_text(history.spans_of(tables)) != recorded:
        yield f"{history.FILE.name}: stale"


def staleness_problems(wheels: Path) -> Iterator[str]:
    """The committed tables that their wheels do not give again."""
    for known in committed():
        generated = generate(known.release, wheels)
        if generated.sha256 != known.sha256:
            yield f"{known.release}.json: made from another wheel than {generated.wheel}"
        elif generated != known:
            old = {flag.options: flag for flag in known.flags}
            new = {flag.options: flag for flag in generated.flags}
            changed = [k[0] for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]
            yield f"{known.release}.json: stale ({', '.join(changed[:8]) or 'header'})"


def check(wheels: Path, offline: bool) -> None:
    """Raises ProblemsFoundError when a committed file is wrong or stale."""
    problems = list(integrity_problems())
    if not offline:
        problems += staleness_problems(wheels)
    if problems:
        raise ProblemsFoundError(
            "The flag tables are not what the wheels give.",
            found="; ".join(problems),
            remedies=("python tools/flag_tables.py update",),
        )
    print(f"{len(releases_committed())} tables are up to date")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv``; returns the exit status."""
    parser = argparse.ArgumentParser(description="Flag tables of SGLang releases.")
    parser.add_argument("--wheels", type=Path, default=default_wheels(), metavar="DIR")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("add", help="write the table of more releases").add_argument(
        "release", nargs="+"
    )
    commands.add_parser("update", help="write all tables again")
    commands.add_parser("check", help="compare the tables with the wheels").add_argument(
        "--offline", action="store_true", help="check only what needs no wheel"
    )
    options = parser.parse_args(argv)
    try:
        if options.command == "check":
            check(options.wheels, options.offline)
        else:
            write(
                options.release if options.command == "add" else releases_committed(),
                options.wheels,
            )
    except Gemma4ctlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
