"""The requests of the matrix: every combination that the profile table has rows for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.table import Checkpoint, Modality, Profiles

TEXT_ONLY: tuple[Modality, ...] = ("text",)


class Case(NamedTuple):
    """One place of the matrix."""

    variant: str
    platform: str
    checkpoint: str
    mtp: bool
    modalities: tuple[Modality, ...]
    release: str

    def request(self) -> Request:
        """What a user would ask for to get it."""
        return Request(
            model=self.variant,
            hardware=self.platform,
            checkpoint=self.checkpoint,
            mtp=self.mtp,
            modalities=self.modalities,
            sglang_version=self.release,
        )

    def __str__(self) -> str:
        mtp = "MTP" if self.mtp else "no MTP"
        inputs = ",".join(self.modalities)
        return f"{self.variant} {self.checkpoint}, {self.platform}, {mtp}, {inputs}, {self.release}"


class Part(NamedTuple):
    """A part of the matrix: the names that are wanted on three axes; empty means all."""

    variants: Collection[str] = ()
    platforms: Collection[str] = ()
    releases: Collection[str] = ()

    def has(self, variant: str, platform: str, release: str) -> bool:
        """Whether a place with these names belongs to the part."""
        asked = ((variant, self.variants), (platform, self.platforms), (release, self.releases))
        return all(not wanted or name in wanted for name, wanted in asked)


def cases(profiles: Profiles, part: Part) -> Iterator[list[Case]]:
    """The cases of ``part``, in batches of one checkpoint and release.

    Each is asked for with text alone and with every input that its variant takes.
    """
    for checkpoint in profiles.checkpoints:
        for release in profiles.releases:
            batch = list(_batch(profiles, checkpoint, release, part))
            if batch:
                yield batch


def _batch(profiles: Profiles, checkpoint: Checkpoint, release: str, part: Part) -> Iterator[Case]:
    variant = checkpoint.variant
    inputs = dict.fromkeys((TEXT_ONLY, profiles.variants[variant].modalities))
    for platform in profiles.platforms:
        if part.has(variant, platform, release):
            for mtp in (False, True):
                for modalities in inputs:
                    yield Case(variant, platform, checkpoint.name, mtp, modalities, release)
