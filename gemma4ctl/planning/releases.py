"""The SGLang release that is planned for: the one asked for, in the image, installed, or usual."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.table import Platform, Profiles, Release


class ChosenRelease(NamedTuple):
    """The SGLang release that is planned for, and why."""

    name: str  # as asked or installed: may be one that the table does not know
    row_name: str  # the row of the table whose facts apply
    row: Release
    reason: str
    origin: str

    @property
    def known(self) -> bool:
        """Whether the table describes exactly this release."""
        return self.name == self.row_name

    def before(self, version: str) -> bool:
        """Whether the facts that apply are those of a release older than ``version``."""
        return _parsed(self.row_name) < _parsed(version)


def choose_release(
    request: Request,
    inventory: Inventory,
    profiles: Profiles,
    platform: Platform,
    min_release: str,
) -> ChosenRelease:
    """The release asked for, else the image's, else the installed one, else the platform's."""
    installed = inventory.host.packages.get("sglang")
    imaged = release_of_image(request.image, profiles)
    origin = "rule"
    if request.sglang_version:
        name, reason = request.sglang_version, "asked for"
        origin = request.origins.get("sglang_version", "flag")
    elif imaged:
        name, reason = imaged, f"the release in the image {request.image}"
        origin = request.origins.get("image", "flag")
    elif installed:
        name, reason = installed, "installed on this host"
    else:
        name, reason = _usual_release(profiles, platform, min_release)
    version = _version(name, reason, profiles)
    row_name = _nearest_row(version, reason, profiles)
    known = version == _parsed(row_name)
    return ChosenRelease(
        name=row_name if known else str(version),
        row_name=row_name,
        row=profiles.releases[row_name],
        reason=reason,
        origin=origin,
    )


def _usual_release(profiles: Profiles, platform: Platform, min_release: str) -> tuple[str, str]:
    usual = platform.default_release
    if usual is None:
        return profiles.default_release, "the release that the published figures were measured on"
    if Version(usual) < Version(min_release):
        return profiles.default_release, f"the platform's usual release is older than {min_release}"
    return usual, f"the usual release for {platform.title}"


def release_of_image(reference: str | None, profiles: Profiles) -> str | None:
    """The SGLang release in an image, by the table or by a tag such as ``v0.5.16-cu130``."""
    if reference is None:
        return None
    listed = next((i.release for i in profiles.images if i.reference == reference), None)
    tag = re.search(r":v(\d+\.\d+\.\d+(\.post\d+)?)(-|@|$)", reference)
    return listed or (tag[1] if tag else None)


def _version(name: str, reason: str, profiles: Profiles) -> Version:
    """``name`` as a version; what a build adds after ``+`` does not count."""
    try:
        return _parsed(_parsed(name.strip()).public)
    except InvalidVersion:
        raise UsageError(
            f"{name!r} is no SGLang release",
            needed="a version number, such as " + profiles.default_release,
            found=f"{name} ({reason})",
            remedies=[
                f"--sglang-version {profiles.default_release}",
                "list the known releases: gemma4ctl profiles list releases",
            ],
            code="release-unknown",
        ) from None


def _nearest_row(asked: Version, reason: str, profiles: Profiles) -> str:
    """The row that describes release ``asked``: itself, else the newest that is older."""
    known = _by_version(tuple(profiles.releases))
    if asked in known:
        return known[asked]
    older = [version for version in known if version <= asked]
    if not older:
        oldest = known[min(known)]
        raise NoPlanError(
            f"SGLang {asked} cannot serve Gemma 4",
            needed=f"SGLang {oldest} or newer",
            found=f"{asked} ({reason})",
            remedies=[f"--sglang-version {profiles.default_release}"],
            code="release-too-old",
        )
    return known[max(older)]


@lru_cache(maxsize=8)
def _by_version(rows: tuple[str, ...]) -> Mapping[Version, str]:
    """The releases of a table by their parsed version."""
    return {Version(row): row for row in rows}


@lru_cache(maxsize=256)
def _parsed(release: str) -> Version:
    """``release`` as a version; raises :class:`InvalidVersion`."""
    return Version(release)
