"""What a file says about its launches outside of their words: releases, images, directives."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.readers.containers import image_vendor
from gemma4ctl.checking.readers.excerpt import Lines

HEAD_LINES = 10  # a directive up here is for the whole file
MAX_REQUESTS = 20  # for GPUs, in one Slurm script

_VERSION = r"v?(\d+(?:\.\d+)+(?:\.?(?:post|rc)\d+)?)"
_IMAGE_RELEASE = re.compile(rf"lmsysorg/sglang:{_VERSION}")
_PIN = re.compile(rf"\bsglang(?:\[[\w, -]{{0,80}}\])?[ \t]{{0,8}}==[ \t]{{0,8}}{_VERSION}")
_IMAGE = re.compile(r"lmsysorg/sglang:[\w.-]{1,128}")
_DIRECTIVE = re.compile(r"(?:#|<!--|//|\{/\*)[ \t]{0,8}gemma4ctl:([^\r\n]*)")
_SETTING = re.compile(r"([a-z][\w-]*)=([^\s\"'<>]+)")
_GRES = re.compile(
    r"^#SBATCH[ \t]+(?:--gres[= ]gpu|--gpus-per-node[= ]|--gpus[= ]|-G[ \t]?)"
    r":?(?:([A-Za-z][\w-]*):?)?(\d+)?",
    re.MULTILINE,
)


class Fact(NamedTuple):
    """Something said at a character ``offset`` of the file."""

    offset: int
    value: str


def annotated(launches: Sequence[Launch], text: str) -> list[Launch]:
    """``launches`` of the file ``text`` with what the file says about them.

    A launch's own image names its release; else the last pin or image tag above it, else the only
    one of the file. Directives of the first ten lines are for all launches, others for the launch
    that they stand in or above; the nearest wins, and what is ignored adds up. They win over what
    else the file says, such as how many GPUs a container asks for.
    """
    if not launches:
        return []
    lines = Lines(text)
    releases, directives = _releases(text), _directives(text)
    vendors = {image_vendor(image) for image in _IMAGE.findall(text)}
    only_vendor = next(iter(vendors)) if len(vendors) == 1 else None
    in_head = bisect_left(directives, (lines.end(HEAD_LINES),))
    scheduler, for_all = _scheduler(text), _merged(directives[:in_head])
    found, used = [], in_head
    for launch in sorted(launches, key=lambda launch: (launch.place.line, launch.place.column)):
        last = lines.end(max([launch.place.line, *(word.place.line for word in launch.words)]))
        end = max(used, bisect_left(directives, (last,)))
        said = _merged(directives[used:end], for_all)
        used = end
        release = launch.release or image_release(launch.image)
        vendor = launch.vendor or image_vendor(launch.image)
        if launch.image is None:
            vendor = vendor or only_vendor
        found.append(
            launch._replace(
                release=release or _nearest(releases, lines.offset(launch.place)),
                vendor=vendor,
                directives={**scheduler, **launch.directives, **said},
            )
        )
    return found


def image_release(image: str | None) -> str | None:
    """The SGLang release that the tag of ``image`` names."""
    found = _IMAGE_RELEASE.search(image) if image else None
    return _plain(found.group(1)) if found else None


def _plain(version: str) -> str:
    return re.sub(r"(?<=\d)post", ".post", version)


def _releases(text: str) -> list[Fact]:
    found = [*_PIN.finditer(text), *_IMAGE_RELEASE.finditer(text)]
    return sorted(Fact(match.start(), _plain(match.group(1))) for match in found)


def _nearest(facts: Sequence[Fact], offset: int) -> str | None:
    """The last fact before ``offset``, or the one that all facts agree on."""
    above = bisect_left(facts, (offset + 1,))
    if above:
        return facts[above - 1].value
    return facts[0].value if facts and all(f.value == facts[0].value for f in facts) else None


def _directives(text: str) -> list[Fact]:
    return [Fact(match.start(), match.group(1)) for match in _DIRECTIVE.finditer(text)]


def _merged(directives: Sequence[Fact], before: Mapping[str, str] = {}) -> dict[str, str]:
    """The settings of ``directives`` on top of those from ``before``."""
    merged = dict(before)
    for directive in directives:
        for name, value in _SETTING.findall(directive.value):
            joined = f"{merged[name]},{value}" if name == "ignore" and name in merged else value
            merged[name] = joined
    return merged


def _scheduler(text: str) -> Mapping[str, str]:
    """The GPUs that Slurm is asked for, as directives: ``hardware`` where it is a known one."""
    said: dict[str, str] = {}
    for request in islice(_GRES.finditer(text), MAX_REQUESTS):
        kind, count = request.groups()
        if count:
            said["gpus"] = count
        if kind and (platform := _platform(kind)):
            said["hardware"] = platform
    return said


def _platform(name: str) -> str | None:
    from gemma4ctl.errors import UsageError
    from gemma4ctl.profiles.load import load
    from gemma4ctl.profiles.lookup import platform_name

    try:
        return platform_name(load(), name)
    except UsageError:
        return None
