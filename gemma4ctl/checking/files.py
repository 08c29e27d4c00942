"""Check texts, files and folders: read their launches, judge them, and fix them where asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gemma4ctl.checking.finding import Finding
from gemma4ctl.checking.judge import Options
from gemma4ctl.checking.releases import judged
from gemma4ctl.checking.report import Checked
from gemma4ctl.errors import Gemma4ctlError, UsageError

MAX_FILES = 10_000  # in one folder that is walked
MAX_FINDINGS = 500  # in one file

# Names of files that start servers, as far as a name tells; others are checked when named.
# .pre-commit-hooks.yaml holds the same expression.
KINDS = re.compile(
    r"\.(sh|bash|dash|zsh|ksh|md|markdown|mdx|rst|ya?ml|service|container|slurm|sbatch"
    r"|dockerfile|containerfile)$"
    r"|(^|/)(Docker|Container)file(\.[^/]*)?$"
)
_SKIPPED = {".git", ".hg", ".svn", "node_modules", "site-packages", "__pycache__", ".tox", ".nox"}


def check_text(path: Path | None, text: str, options: Options) -> list[Finding]:
    """The findings of ``text``; ``path`` names its kind and is not opened. None: the text tells.

    Raises:
        UsageError: the text is beyond what a reader takes.
    """
    return list(check(path, text, options).findings)


def check(path: Path | None, text: str, options: Options, name: str | None = None) -> Checked:
    """What is found in ``text``, under ``name`` where that differs from ``path``.

    Raises:
        UsageError: the text is beyond what a reader takes.
    """
    from gemma4ctl.checking.additions import kept
    from gemma4ctl.checking.readers import read

    shown = name or str(path or "-")
    launches = read(path, text)
    judgements = (finding for launch in launches for finding in judged(launch, options))
    findings = [_placed(finding, shown, text) for finding in islice(judgements, MAX_FINDINGS)]
    return Checked(
        path=shown,
        text=text,
        launches=len(launches),
        findings=tuple(dict.fromkeys(kept(findings, text, launches, partial(read, path)))),
        error=None if next(judgements, None) is None else _unfinished(shown),
    )


def _unfinished(name: str) -> str:
    return f"{name} has more than {MAX_FINDINGS} findings; what follows these was not checked."


def _placed(finding: Finding, path: str, text: str) -> Finding:
    """``finding`` with the path to show, and a fix quoted as ``text`` quotes."""
    if finding.fix is None:
        return finding._replace(path=path)
    from gemma4ctl.checking.fix import quoted

    return finding._replace(path=path, fix=quoted(finding.fix, text))


class Target(NamedTuple):
    """Something to check: the file ``name``, or ``content`` under that name.

    ``kind`` is a file name that tells the reader; None: the content tells.
    """

    name: str
    kind: Path | None
    content: str | None = None

    def check(self, text: str, options: Options) -> Checked:
        """What is found when ``text`` is its text."""
        return check(self.kind, text, options, self.name)

    def examine(self, options: Options) -> Checked:
        """What is found; with an ``error`` where it cannot be read or is beyond what we take."""
        from gemma4ctl.checking.readers import inputs

        try:
            text = inputs.load(self.name) if self.content is None else self.content
        except Gemma4ctlError as error:
            return Checked(self.name, error=str(error))
        try:
            return self.check(text, options)
        except Gemma4ctlError as error:
            return Checked(self.name, error=f"{self.name}: {error}")

    def mended(self, found: Checked, options: Options) -> Checked:
        """``found`` after its fixes; nothing is written."""
        from gemma4ctl.checking.fix import fixed

        return fixed(found, lambda text: self.check(text, options))

    def write(self, found: Checked, after: Checked) -> Checked:
        """Write what ``mended`` made of ``found``; ``found`` with an ``error`` where that fails."""
        from gemma4ctl.checking.fix import write

        if not after.fixed:
            return after
        try:
            write(Path(self.name), found.text, after.text)
        except Gemma4ctlError as error:
            return found._replace(error=str(error))
        return after


def expand(paths: Sequence[Path]) -> list[Path]:
    """``paths``, each once, with folders replaced by the files below them that can hold launches.

    Raises:
        UsageError: a folder holds more than ``MAX_FILES`` of them.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found |= dict.fromkeys(_below(path) if path.is_dir() else (path,))
    return list(found)


def _below(folder: Path) -> list[Path]:
    """The files below ``folder``, by name, version control and installed packages left aside."""
    found: list[Path] = []
    for path in _walk(folder):
        if len(found) == MAX_FILES:
            raise UsageError(
                f"{folder} holds more than {MAX_FILES:,} files that could start SGLang",
                remedies=["name the files or folders that do"],
                code="too-many-files",
            )
        found.append(path)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not _is_skipped(here / name))
        paths = (here / name for name in sorted(names) if KINDS.search(name))
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def _is_skipped(folder: Path) -> bool:
    """Whether ``folder`` is no part of a project: version control, packages, an environment."""
    return folder.name in _SKIPPED or (folder / "pyvenv.cfg").is_file()
