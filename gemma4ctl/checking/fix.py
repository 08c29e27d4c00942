"""Fixes: put them into a text, write it back in one step, or show the difference."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from gemma4ctl.checking.finding import Fix
from gemma4ctl.checking.quoting import ITEM_BREAK
from gemma4ctl.checking.report import Checked
from gemma4ctl.errors import UsageError

_PLAIN = re.compile(r"[\w./=:,@%+-]+", re.ASCII)  # means the same with and without quotes
_DASHES = re.compile(r"[ \t]*(?:-[ \t]+)+")  # before an item of a list
_MAX_ROUNDS = 10  # a fix can uncover another: a corrected flag whose value is then judged


def quoted(fix: Fix, text: str) -> Fix:
    """``fix`` with the quotes that its place in ``text`` has, each plain word of it.

    Several items of a YAML list are put on lines of their own where the first is.
    """
    written = text[fix.start : fix.end]
    marks = written[:1]
    items = fix.text.split(ITEM_BREAK)
    if marks in ("'", '"') and written[1:].endswith(marks):
        items = [_marked(item, marks) for item in items]
    return fix._replace(text=_item_break(text, fix.start).join(items))


def _marked(word: str, marks: str) -> str:
    plain = word.strip('"')
    return f"{marks}{plain}{marks}" if _PLAIN.fullmatch(plain) else word


def _item_break(text: str, start: int) -> str:
    """What stands between an item of a YAML list, written at ``start``, and the next."""
    line = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    before = text[line:start]
    if not _DASHES.fullmatch(before):
        return ", "
    newline = "\r\n" if text[:line].endswith("\r\n") else text[line - 1 : line] or "\n"
    dash = before.rindex("-")
    return newline + before[:dash].replace("-", " ") + before[dash:]


def apply(text: str, fixes: Iterable[Fix]) -> tuple[str, int]:
    """``text`` with ``fixes`` put in, and how many: of those that overlap only the first."""
    parts: list[str] = []
    end = count = 0
    for fix in sorted(set(fixes), key=lambda fix: (fix.start, fix.end, fix.text)):
        if end <= fix.start <= fix.end <= len(text):
            parts += text[end : fix.start], fix.text
            end, count = fix.end, count + 1
    return "".join((*parts, text[end:])), count


def fixed(found: Checked, check: Callable[[str], Checked]) -> Checked:
    """``found`` after all fixes, checked again until none is left.

    Returns ``found`` itself where there is nothing to fix, or where the fixes lead round in a
    circle or lose a launch: such a text is left to its author.
    """
    seen = {found.text}
    now = found
    for _ in range(_MAX_ROUNDS):
        text, count = apply(now.text, (one.fix for one in now.findings if one.fix))
        if text == now.text:
            return now
        after = check(text)
        if text in seen or after.error or after.launches != found.launches:
            return found
        seen.add(text)
        now = after._replace(fixed=now.fixed + count)
    return found


def write(path: Path, before: str, after: str) -> None:
    """Replace ``before``, the text of ``path``, by ``after`` in one step.

    Mode, owner, encoding mark and newlines stay. Nothing is written through a symbolic link.

    Raises:
        UsageError: the file is a link, is not UTF-8, no longer holds ``before``, or cannot be
            written.
    """
    if path.is_symlink():
        raise UsageError(
            f"{path} is a symbolic link: not fixed.",
            remedies=(f"gemma4ctl check --fix {path.resolve()}",),
            code="fix-through-link",
        )
    try:
        _replace(path, _encoded(path, before, after))
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror}.",
            remedies=("a file in a writable folder", "--diff, which writes nothing"),
            code="output-unwritable",
        ) from error


def difference(path: str, before: str, after: str) -> str:
    """The change as a unified diff that ``patch`` and ``git apply`` take; "" for none."""
    from difflib import unified_diff

    lines = unified_diff(_lines(before), _lines(after), path, path)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    """The lines of ``text``, line feeds included."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _encoded(path: Path, before: str, after: str) -> bytes:
    """``after`` as the bytes of ``path`` write ``before``."""
    data = path.read_bytes()
    for encoding in ("utf-8", "utf-8-sig"):
        with suppress(UnicodeDecodeError):
            if data.decode(encoding) == before:
                return after.encode(encoding)
    raise UsageError(
        f"{path} is not UTF-8, or changed while it was checked: not fixed.",
        remedies=("check it again", "convert it to UTF-8"),
        code="fix-stale",
    )


def _replace(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` through a temporary file beside it, with its mode and owner."""
    was = path.stat()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            with suppress(PermissionError):  # only root gives files away
                os.fchown(descriptor, was.st_uid, was.st_gid)
            os.fchmod(descriptor, was.st_mode & 0o7777)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
