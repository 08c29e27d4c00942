"""What a check found, file by file: the input of every output format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gemma4ctl.checking.finding import Finding, Level

PROBLEMS: tuple[Level, ...] = ("error", "warning")  # these make `check` exit with 4


class Checked(NamedTuple):
    """One file, or standard input, or a command.

    ``text`` is what was checked: the text after fixing where fixes were made, ``fixed`` of them.
    ``error`` says why it could not be checked, not to its end, or not be fixed.
    """

    path: str
    text: str = ""
    launches: int = 0
    findings: tuple[Finding, ...] = ()
    fixed: int = 0
    error: str | None = None


class Report:
    """All files of one check."""

    def __init__(self, files: tuple[Checked, ...]) -> None:
        self.files = files

    @property
    def findings(self) -> Iterator[Finding]:
        """All findings, in the order of the files."""
        return (finding for file in self.files for finding in file.findings)

    def count(self, level: Level) -> int:
        """How many findings are of ``level``."""
        return sum(finding.level == level for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """2 where a file could not be checked or fixed, 4 for errors and warnings, else 0."""
        if any(file.error for file in self.files):
            return 2
        return 4 if any(finding.level in PROBLEMS for finding in self.findings) else 0

    @property
    def summary(self) -> str:
        """One line: how much was checked, and what came out."""
        launches = sum(file.launches for file in self.files)
        parts = [f"{_number(launches, 'launch')} in {_number(len(self.files), 'file')}"]
        levels: tuple[Level, ...] = (*PROBLEMS, "note")
        parts += [_number(self.count(level), level) for level in levels if self.count(level)]
        if len(parts) == 1:
            parts.append("no findings")
        failed = sum(file.error is not None for file in self.files)
        parts += [f"{failed} failed"] if failed else []
        fixed = sum(file.fixed for file in self.files)
        fixable = sum(finding.fix is not None for finding in self.findings)
        parts += [f"{fixed} fixed"] if fixed else []
        parts += [f"{fixable} fixable with --fix"] if fixable else []
        return ", ".join(parts)


def _number(count: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("ch") else f"{word}s"
    return f"{count} {word if count == 1 else plural}"
