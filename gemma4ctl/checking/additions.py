"""Fixes that add a flag which a launch lacks, where its file takes the flag.

A value with quotes in it cannot stand everywhere: in a string of another language its quotes end
that string. So a fix is kept only where the text, read again, has the flag and is else the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest

from gemma4ctl.checking.finding import Finding, Fix
from gemma4ctl.checking.launch import Launch
from gemma4ctl.checking.quoting import addition
from gemma4ctl.errors import Gemma4ctlError

# The words to add, by code. Without blanks in a value: after ": " YAML takes a map for begun.
ADDED: dict[str, tuple[str, ...]] = {
    "audio-ends-server": ("--limit-mm-data-per-request", '{"audio":0}'),
}


def added(code: str, launch: Launch) -> Fix | None:
    """The fix that adds the words for a finding ``code``, as near to the end as the file shows."""
    ends = [
        word
        for word, following in zip_longest(launch.words, launch.words[1:])
        if word.start >= 0 and (following is None or following.text.startswith("--"))
    ]
    return addition(ends[-1], ADDED[code]) if ends else None


def kept(
    findings: Sequence[Finding],
    text: str,
    launches: Sequence[Launch],
    read: Callable[[str], Sequence[Launch]],
) -> list[Finding]:
    """``findings`` of ``text`` without the additions that it does not take.

    Args:
        launches: what ``read`` found in ``text``.
    """
    fixes = {one.fix: ADDED[one.code] for one in findings if one.fix and one.code in ADDED}
    if not fixes:
        return list(findings)
    from gemma4ctl.checking.fix import apply

    try:
        after = read(apply(text, fixes)[0])
    except Gemma4ctlError:  # too much for a reader
        after = []
    refused = _refused(launches, after, {fix.end: words for fix, words in fixes.items()})
    return [
        one._replace(fix=None) if one.fix in fixes and one.fix.end in refused else one
        for one in findings
    ]


def _refused(
    launches: Sequence[Launch], after: Sequence[Launch], words: dict[int, tuple[str, ...]]
) -> set[int]:
    """The ends of words in ``launches`` behind which ``after`` lacks the ``words`` for them."""
    if len(launches) != len(after):
        return set(words)
    users = Counter(word.end for launch in launches for word in launch.words)
    refused = {end for end in words if users[end] > 1}  # another launch may not lack them
    for launch, now in zip(launches, after, strict=True):
        expected: list[str] = []
        for word in launch.words:
            expected += word.text, *words.get(word.end, ())
        if now.argv != tuple(expected):
            refused |= {word.end for word in launch.words}
    return refused
