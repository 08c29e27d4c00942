"""What a command line starts: SGLang itself, or a program that is given SGLang to start."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from gemma4ctl.checking.launch import Entry
from gemma4ctl.checking.readers.containers import Container, container
from gemma4ctl.checking.readers.excerpt import Field

# Programs that run the command in their arguments. Their own options need not be known: SGLang's
# entry is looked for among all words.
WRAPPERS = frozenset(
    """
    apptainer bash catchsegv charliecloud chroot chrt command conda coproc cpulimit dash docker
    dumb-init env enroot eval exec flock gosu hatch ionice kubectl ksh mamba micromamba mpirun
    mpiexec ncu nerdctl nice nix-shell nohup nsys numactl orterun pdm pipenv pixi podman poetry
    prlimit proxychains py-spy ray runuser runcon s6-setuidgid screen script setarch setsid sg
    sh singularity srun ssh stdbuf strace su su-exec sudo systemd-run taskset tee time timeout
    tini tmux torchrun unbuffer unshare uv uvx watch xargs zsh
    """.split()  # noqa: SIM905 - easier to read and to add to
)
MODULES: Mapping[str, Entry] = {
    "sglang.launch_server": "module",
    "sglang_router.launch_server": "router",
}
_PYTHON = re.compile(r"python[0-9.]*|pypy[0-9.]*")
_PLAIN_NAME = re.compile(r"[\w.+-]+")
_SCRIPT = re.compile(r"sglang.*\s", re.DOTALL)
_OURS = ("--router-", "--worker-urls")  # options of the router, not of the workers it starts
_ENVIRONMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)


class Call(NamedTuple):
    """What a command line starts.

    ``entry`` with the ``words`` after it, where it is SGLang (``at`` points to its first word).
    ``scripts`` are words that a shell is to read as commands. ``environment`` is what ``env`` and
    the like set, ``container`` where all this runs.
    """

    entry: Entry | None
    words: tuple[Field, ...]
    at: Field | None
    scripts: tuple[Field, ...] = ()
    environment: Mapping[str, str | None] = {}
    container: Container | None = None


def may_start(program: str) -> bool:
    """Whether a command that begins with the word ``program``, as written, can start SGLang."""
    plain = _PLAIN_NAME.fullmatch(program) is not None
    return (
        not plain
        or program in WRAPPERS
        or program == "sglang"
        or _PYTHON.match(program) is not None
    )


def call(fields: Sequence[Field]) -> Call | None:
    """What the command ``fields`` starts; None where that has nothing to do with SGLang."""
    box = container(fields)
    inner = box.command if box else tuple(fields)
    start = _entry(inner)
    if start is not None:
        entry, first, after = start
        words = _workers(inner[after:]) if entry == "router" else inner[after:]
        return Call(entry, words, inner[first], (), _environment(inner[:first]), box)
    if inner and _runs_others(inner[0]):
        scripts = tuple(field for field in inner[1:] if _SCRIPT.search(field.text))
        if scripts:
            return Call(None, (), None, scripts, _environment(inner), box)
    return None


def _entry(fields: Sequence[Field]) -> tuple[Entry, int, int] | None:
    """SGLang's entry in ``fields``: which, its index, and the index of the word after it."""
    if not fields:
        return None
    reach = len(fields) if _runs_others(fields[0]) else 1
    for index, field in enumerate(fields[:reach]):
        name = _name(field)
        following = fields[index + 1].text if index + 1 < len(fields) else ""
        if name == "sglang" and following == "serve":
            return "serve", index, index + 2
        if field.text == "-m" and following in MODULES:
            return MODULES[following], index - 1 if index else 0, index + 2
        if _PYTHON.fullmatch(name):
            module = _module(fields, index)
            if module is not None:
                return MODULES[fields[module].text], index, module + 1
    return None


def _module(fields: Sequence[Field], python: int) -> int | None:
    """The index of the module that the interpreter at ``python`` runs as SGLang."""
    index = python + 1
    while index < len(fields) and fields[index].text.startswith("-"):
        if fields[index].text == "-m":
            named = index + 1 < len(fields) and fields[index + 1].text in MODULES
            return index + 1 if named else None
        index += 2 if fields[index].text in ("-W", "-X") else 1
    return None


def _runs_others(field: Field) -> bool:
    """Whether ``field`` is a program that may run what its arguments say."""
    return _name(field) in WRAPPERS or "/" in field.text or not field.certain or _is_set(field)


def _is_set(field: Field) -> bool:
    return _ENVIRONMENT.fullmatch(field.text) is not None


def _name(field: Field) -> str:
    return PurePosixPath(field.text).name if "/" in field.text else field.text


def _environment(fields: Sequence[Field]) -> dict[str, str | None]:
    """The ``NAME=value`` words before SGLang's entry, as ``env`` and ``sudo`` take them."""
    found: dict[str, str | None] = {}
    for field in fields:
        if pair := _ENVIRONMENT.fullmatch(field.text):
            found[pair.group(1)] = pair.group(2) if field.certain else None
    return found


def _workers(fields: Sequence[Field]) -> tuple[Field, ...]:
    """The words that are for the workers of a router, without the router's own options."""
    kept: list[Field] = []
    ours = False
    for field in fields:
        if field.text.startswith("-"):
            ours = field.text.startswith(_OURS)
        if not ours:
            kept.append(field)
    return tuple(kept)
