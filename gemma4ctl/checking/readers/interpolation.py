"""References to variables in container files, resolved without losing where the text stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from gemma4ctl.checking.readers import limits
from gemma4ctl.checking.readers.excerpt import Excerpt
from gemma4ctl.checking.readers.yaml_tree import MASK

_COMPOSE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*))")
_DEFAULT = re.compile(r":?-")
_KUBERNETES = re.compile(r"\$(?:(?P<escaped>\$\()|\((?P<name>[A-Za-z_][\w.-]*)\))")
_BRACE = re.compile(r"[{}]")
MAX_DEPTH = 5  # of defaults in defaults
MAX_BRACES = 200  # characters of one ${...}
MAX_VALUE = 4_096  # characters that one reference may bring in


def compose(value: Excerpt) -> Excerpt:
    """``value`` as Compose interpolates it: ``$$``, ``$NAME``, ``${NAME:-default}``.

    A variable without a default is known only where the file is used.
    """
    return _composed(value, MAX_DEPTH)


def _composed(value: Excerpt, depth: int) -> Excerpt:
    if "$" not in value.text or not depth:
        return value

    def resolve(match: re.Match[str]) -> tuple[Excerpt, int]:
        if match["dollar"]:
            return value.cut(match.end() - 1, match.end()), match.end()
        end = match.end()
        if match["braced"]:
            end = _closing_brace(value.text, end) or end
            default = _DEFAULT.match(value.text, match.end(), end)
            if default:
                return _composed(value.cut(default.end(), end - 1), depth - 1), end
        return unknown(value.cut(match.start(), end)), end

    return _replaced(value, _COMPOSE, resolve)


def kubernetes(value: Excerpt, variables: Mapping[str, str | None]) -> Excerpt:
    """``value`` as Kubernetes expands ``$(NAME)``.

    Names that the manifest does not set stay as they are, but controllers set more of them.
    """
    if "$(" not in value.text:
        return value

    def resolve(match: re.Match[str]) -> tuple[Excerpt, int]:
        if match["escaped"]:
            return value.cut(match.end() - 2, match.end()), match.end()
        written = value.cut(match.start(), match.end())
        known = variables.get(match["name"], "")
        if match["name"] not in variables:
            return Excerpt.unknown(written.text, written.offset(0)), match.end()
        if known is None or len(known) > MAX_VALUE:
            return unknown(written), match.end()
        return Excerpt.of(known, -1), match.end()

    return _replaced(value, _KUBERNETES, resolve)


def unknown(written: Excerpt) -> Excerpt:
    """What stands for ``written``, whose value is known only at run time."""
    return Excerpt.unknown(MASK * len(written.text), written.offset(0))


def _replaced(
    value: Excerpt,
    pattern: re.Pattern[str],
    resolve: Callable[[re.Match[str]], tuple[Excerpt, int]],
) -> Excerpt:
    """``value`` with every match replaced by what ``resolve`` gives, up to the end it gives."""

    limits.text(value.text)

    def pieces() -> Iterator[Excerpt]:
        at = 0
        while match := pattern.search(value.text, at):
            limits.step()
            yield value.cut(at, match.start())
            piece, at = resolve(match)
            yield piece
        yield value.cut(at, len(value.text))

    return Excerpt.joined(pieces())


def _closing_brace(text: str, start: int) -> int | None:
    """Where the ``${`` whose name ends at ``start`` ends; None: nowhere near."""
    depth = 1
    for brace in _BRACE.finditer(text, start, start + MAX_BRACES):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return None
