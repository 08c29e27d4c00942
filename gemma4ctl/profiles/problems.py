"""What is wrong with a user's profile file, as sentences with file, line, column and field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemma4ctl.errors import UsageError
from gemma4ctl.model import Model
from gemma4ctl.profiles.reading import position
from gemma4ctl.profiles.table import Profiles

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]
SHOWN = 5


@dataclass(frozen=True)
class Overlay:
    """Merged data and the user's file it came from.

    ``indices`` maps a row of a merged list section to the row of the user's own list.
    """

    data: dict[Any, Any]
    path: Path
    text: str
    indices: dict[tuple[str, int], int]

    def place(self, location: Location) -> str:
        """``FILE:LINE:COLUMN: field.path`` of a location in the merged data."""
        user = self._user_location(location)
        line, column = position(self.text, user)
        field = ".".join(map(str, user))
        return f"{self.path}:{line}:{column}: {field}" if field else f"{self.path}:{line}:{column}"

    def _user_location(self, location: Location) -> Location:
        match location:
            case (str() as section, int() as index, *rest):
                row = self.indices.get((section, index))
                return (section,) if row is None else (section, row, *rest)
        return location


@dataclass(frozen=True)
class Problems:
    """The sentences, in the order found."""

    path: Path
    sentences: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.sentences)

    def error(self) -> UsageError:
        """The first few as one error."""
        shown = list(self.sentences[:SHOWN])
        if len(self.sentences) > SHOWN:
            shown.append(f"and {len(self.sentences) - SHOWN} more")
        return UsageError(
            "\n".join(shown),
            remedies=[f"correct the file, then run gemma4ctl profiles validate {self.path}"],
            code="profiles-invalid",
        )


def find_problems(overlay: Overlay) -> Problems:
    """Everything that keeps the merged data from being a valid table."""
    from pydantic import ValidationError

    if "hash" in overlay.data:
        return _problems(overlay, [(("hash",), "is computed, not given")])
    try:
        profiles = Profiles.model_validate(overlay.data)
    except ValidationError as error:
        return _problems(overlay, [_explain(detail) for detail in error.errors()])
    return _problems(overlay, list(dangling(profiles)))


def _problems(overlay: Overlay, found: Sequence[tuple[Location, str]]) -> Problems:
    return Problems(
        overlay.path, tuple(f"{overlay.place(where)}: {message}" for where, message in found)
    )


def _explain(detail: ErrorDetails) -> tuple[Location, str]:
    """Location and sentence of one validation error."""
    location = detail["loc"]
    match detail["type"]:
        case "unexpected_keyword_argument":
            accepted = field_names(location[:-1])
            return location, f"unknown key{_nearest(str(location[-1]), accepted)}"
        case "missing":
            return location, "is required"
        case "string_type":
            return location, f"must be text, is {detail['input']!r} (quote it)"
        case kind if kind.startswith("literal"):
            accepted = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
            return location, f"is {detail['input']!r}{_nearest(str(detail['input']), accepted)}"
    return location, f"{detail['msg'][0].lower()}{detail['msg'][1:]}, is {_short(detail['input'])}"


def dangling(profiles: Profiles) -> Iterator[tuple[Location, str]]:
    """Names that do not exist, and device-name patterns that do not compile."""
    for location, name, known in _references(profiles):
        if name not in known:
            yield location, f"{name!r} does not exist{_nearest(name, known)}"
    for key, platform in profiles.platforms.items():
        for index, pattern in enumerate(platform.names):
            try:
                re.compile(pattern)
            except re.error as error:
                yield ("platforms", key, "names", index), f"not a regular expression: {error}"


def _references(profiles: Profiles) -> Iterator[tuple[Location, str, Sequence[str]]]:
    """Every reference of the table: where it stands, the name, the names that exist."""
    variants, platforms = list(profiles.variants), list(profiles.platforms)
    releases, sources = list(profiles.releases), list(profiles.sources)
    yield ("default_release",), profiles.default_release, releases
    yield ("mtp", "source"), profiles.mtp.source, sources
    for section in ("variants", "platforms", "releases"):
        for key, entry in getattr(profiles, section).items():
            yield (section, key, "source"), entry.source, sources
    for key, variant in profiles.variants.items():
        yield ("variants", key, "min_release"), variant.min_release, releases
        yield ("variants", key, "mtp_min_release"), variant.mtp_min_release, releases
    for key, platform in profiles.platforms.items():
        if platform.like is not None:
            yield ("platforms", key, "like"), platform.like, platforms
        if platform.default_release is not None:
            yield ("platforms", key, "default_release"), platform.default_release, releases
    for section in ("checkpoints", "images", "cells", "auto_sizes"):
        for index, row in enumerate(getattr(profiles, section)):
            yield (section, index, "source"), row.source, sources
    for index, checkpoint in enumerate(profiles.checkpoints):
        yield ("checkpoints", index, "variant"), checkpoint.variant, variants
        for release in checkpoint.broken_in:
            yield ("checkpoints", index, "broken_in"), release, releases
    for index, image in enumerate(profiles.images):
        if image.release is not None:
            yield ("images", index, "release"), image.release, releases
        for name in image.variants:
            yield ("images", index, "variants"), name, variants
    for index, cell in enumerate(profiles.cells):
        yield ("cells", index, "variant"), cell.variant, variants
        yield ("cells", index, "platform"), cell.platform, platforms
        if cell.release is not None:
            yield ("cells", index, "release"), cell.release, releases
    for index, size in enumerate(profiles.auto_sizes):
        yield ("auto_sizes", index, "since"), size.since, releases


def field_names(location: Location) -> list[str]:
    """The field names of the model at ``location`` in the table; empty where it is no model."""
    from typing import get_args

    current: Any = Profiles
    for step in location:
        if _is_model(current):
            field = current.model_fields.get(str(step))
            current = field.type if field else None
        else:
            current = next((arg for arg in get_args(current) if _is_model(arg)), None)
        current = _without_none(current)
    return [name for name in current.model_fields if name != "hash"] if _is_model(current) else []


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Model)


def _without_none(annotation: Any) -> Any:
    """``X`` for ``X | None``."""
    from types import UnionType
    from typing import get_args, get_origin

    if get_origin(annotation) is UnionType:
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def _nearest(name: str, accepted: Sequence[str]) -> str:
    """`` (did you mean X?)`` and the accepted values, as far as they help."""
    if not accepted:
        return ""
    close = get_close_matches(name, accepted, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(accepted) if len(accepted) <= 30 else f"{len(accepted)} names"
    return f"{hint} (accepted: {listed})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
