"""Judge a launch for one release, or for all that serve it, and tell the findings apart by that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gemma4ctl.checking.finding import Finding
from gemma4ctl.checking.judge import Options, judge
from gemma4ctl.checking.launch import Launch, Place
from gemma4ctl.flags.table import available

ALL = "all"


def judged(launch: Launch, options: Options) -> list[Finding]:
    """The findings of ``launch`` for the release of ``options``.

    ``"all"``: for each that serves the model, and where none does, for all.
    """
    if options.sglang_version != ALL:
        return judge(launch, options)
    found = {name: judge(launch, options._replace(sglang_version=name)) for name in available()}
    serving = {name: findings for name, findings in found.items() if not _too_old(findings)}
    return merged(serving or found)


def merged(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """The findings of several releases (oldest first), each once, with the releases it is true of.

    The newest of these releases gives the message. A fix is kept where every release of ``found``
    wants the same one, so that it mends the file for one release without breaking it for another.
    """
    same: dict[tuple[str, Place], dict[str, Finding]] = {}
    for release, findings in found.items():
        for finding in findings:
            same.setdefault((finding.code, finding.place), {})[release] = finding
    merged = [_over(by_release, tuple(found)) for by_release in same.values()]
    return sorted(merged, key=lambda f: (f.place.line, f.place.column, f.code))


def _over(by_release: Mapping[str, Finding], judged: Sequence[str]) -> Finding:
    """One finding for all of ``by_release``."""
    newest = tuple(by_release)[-1]
    finding = by_release[newest]
    span = spans(tuple(by_release), judged)
    named = rf"(?<![\w.]){re.escape(newest)}(?!\.?\w)"
    message, count = re.subn(named, span, finding.message)
    message = message if count else f"{message} [SGLang {span}]"
    agreed = len(by_release) == len(judged) and len({f.fix for f in by_release.values()}) == 1
    fix = finding.fix if agreed else None
    return finding._replace(message=message, release=span, fix=fix)


def spans(releases: Sequence[str], judged: Sequence[str]) -> str:
    """``releases`` as spans within ``judged``: ``0.5.11 to 0.5.13, 0.5.16``."""
    runs: list[list[str]] = []
    for before, release in zip((None, *judged), judged, strict=False):
        if release in releases:
            if before not in releases:
                runs.append([])
            runs[-1].append(release)
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _too_old(findings: Sequence[Finding]) -> bool:
    return any(finding.code == "release-too-old" for finding in findings)
