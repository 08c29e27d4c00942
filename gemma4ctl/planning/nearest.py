"""Requests near one that has no plan, and the commands that say them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.hardware.simulate import DEFAULT_PLATFORM, simulate
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.table import Profiles

SHORTER_CONTEXTS = (32_768, 8_192)
MORE_GPUS = (2, 4, 8)

# Request field -> option, in the order of the command.
OPTIONS = {
    "hardware": "--hardware",
    "gpus": "--gpus",
    "checkpoint": "--checkpoint",
    "model_path": "--model-path",
    "draft_path": "--draft-path",
    "tp": "--tp-size",
    "modalities": "--modality",
    "context_length": "--context-length",
    "concurrency": "--concurrency",
    "request_tokens": "--request-tokens",
    "objective": "--objective",
    "mem_fraction": "--mem-fraction",
    "sglang_version": "--sglang-version",
    "image": "--image",
    "kernels": "--kernels",
    "host": "--host",
    "port": "--port",
}
HARDWARE_FILE = "--hardware-file"
Given = Mapping[str, str]  # options of the host and of the table, which are no part of a request
NONE_GIVEN: Given = MappingProxyType({})
SWITCHES = ("mtp", "optimize", "safe", "reasoning", "tools")


def alternatives(request: Request, profiles: Profiles) -> Iterator[Request]:
    """Requests that change one thing, the least important first; the last ones change more."""
    for change in _changes(request, profiles):
        if any(getattr(request, name) != value for name, value in change.items()):
            yield request.model_copy(update=change)


def _changes(request: Request, profiles: Profiles) -> Iterator[dict[str, Any]]:
    """Fields to set, nearest first."""
    newest = profiles.default_release
    yield {"extra_args": ()}
    yield {"kernels": "auto"}
    if request.mtp or request.objective == "latency":
        yield {"mtp": False}
    yield {"tp": None}
    yield {"mem_fraction": None}
    yield {"safe": False}
    yield from (
        {"context_length": n} for n in SHORTER_CONTEXTS if n < (request.context_length or 0)
    )
    yield {"concurrency": None}
    yield {"request_tokens": None}
    yield {"modalities": None}
    yield {"sglang_version": newest, "image": None}
    if isinstance(request.gpus, int) and request.hardware is not None:
        yield from ({"gpus": n} for n in MORE_GPUS if n > request.gpus)
    elif request.gpus is not None:
        yield {"gpus": None}
    names = [row.name for row in profiles.checkpoints if row.variant == request.model]
    yield from ({"checkpoint": name} for name in names)
    sizes = sorted(profiles.variants, key=lambda name: -profiles.variants[name].parameters)
    ours = {"checkpoint": "bf16", "model_path": None, "draft_path": None}
    yield from ({"model": name, **ours} for name in sizes)
    plain = Request(model=request.model).model_dump(exclude={"model", "hardware", "gpus"})
    yield plain
    yield {**plain, "hardware": DEFAULT_PLATFORM, "gpus": None}


def host_of(
    candidate: Request, request: Request, inventory: Inventory, profiles: Profiles
) -> Inventory:
    """The host that ``candidate`` is planned for: that of ``request`` unless it names another."""
    same = (candidate.hardware, candidate.gpus) == (request.hardware, request.gpus)
    if same or candidate.hardware is None:
        return inventory
    usual = profiles.platforms[candidate.hardware].node_size
    count = candidate.gpus if isinstance(candidate.gpus, int) else usual
    return simulate(candidate.hardware, count, profiles)


def command(request: Request, given: Given = NONE_GIVEN) -> str:
    """The ``gemma4ctl suggest`` command that makes ``request``.

    With what was ``given``, but no ``--hardware-file`` where the request names its hardware.
    """
    usual = Request(model=request.model)
    words = ["gemma4ctl", "suggest", "--model", request.model]
    for name, option in OPTIONS.items():
        value = getattr(request, name)
        if value != getattr(usual, name):
            words += [option, _listed(value) if isinstance(value, tuple) else str(value)]
    for name in SWITCHES:
        value = getattr(request, name)
        if value != getattr(usual, name):
            words.append(f"--{name}" if value else f"--no-{name}")
    for option, value in given.items():
        if option != HARDWARE_FILE or request.hardware is None:
            words += [option, value]
    if request.extra_args:
        words += ["--", *request.extra_args]
    return shlex.join(words)


def _listed(values: tuple[str, ...]) -> str:
    """``values`` as an option takes them; one index has a comma, without which it is a count."""
    return ",".join(values) + ("," if len(values) == 1 and values[0].isdecimal() else "")
