"""What rules see: the request with every name resolved, and the decisions made so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from packaging.version import InvalidVersion, Version

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.flags.parse import Parsed, Words, parse, split
from gemma4ctl.flags.table import FlagTable
from gemma4ctl.flags.table import load as load_flags
from gemma4ctl.hardware.inventory import Device, Inventory, Unit, units
from gemma4ctl.hardware.select import choose
from gemma4ctl.planning.plan import Decision, Value
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles import lookup
from gemma4ctl.profiles.table import (
    AutoSize,
    Cell,
    Checkpoint,
    Modality,
    Platform,
    Profiles,
    Release,
    Variant,
)

LARGEST_TP = 16
SIMULATED = ("flag", "default")


@dataclass(frozen=True)
class ChosenRelease:
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
        return Version(self.row_name) < Version(version)


@dataclass(frozen=True)
class Situation:
    """The resolved request. ``made`` grows while the rules run; everything else is fixed."""

    request: Request
    inventory: Inventory
    profiles: Profiles
    variant: Variant
    checkpoint: Checkpoint
    platform_name: str
    platform: Platform
    release: ChosenRelease
    group: tuple[Unit, ...]  # the units that may be used: of one platform and kind
    usable: Inventory  # the inventory with every other unit hidden
    flags: FlagTable
    user: Parsed  # the flags after --, as SGLang's parser reads them
    user_words: tuple[Words, ...]
    made: dict[str, Decision] = field(default_factory=dict)

    @property
    def variant_name(self) -> str:
        """The variant's short name."""
        return self.checkpoint.variant

    def value(self, name: str) -> Value:
        """The value decided for ``name``; None when nothing decided it."""
        return self.made[name].value if name in self.made else None

    def given(self, dest: str) -> Any:
        """The user's own value of an SGLang argument after ``--``; None when not given."""
        return self.user.values.get(dest)

    @property
    def tp(self) -> int:
        """Ranks of the tensor-parallel group."""
        return int(str(self.value("tensor_parallel_size") or 1))

    @property
    def mtp(self) -> bool:
        """Whether the plan drafts with the paired assistant (or n-grams on CPU)."""
        return bool(self.value("mtp"))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The input modalities to serve well: those asked for, else all of the variant."""
        return self.request.modalities or self.variant.modalities

    @property
    def images(self) -> bool:
        """Whether image input is to be served."""
        return "image" in self.modalities

    @property
    def blackwell(self) -> bool:
        """Whether the GPUs are data-centre Blackwell (compute capability 10.x)."""
        return self.platform.architecture.startswith("sm_10")

    @property
    def modelled(self) -> bool:
        """Whether the memory of the platform is one known number."""
        return self.platform.kind == "gpu" and self.unit_mib is not None

    @property
    def unit_mib(self) -> int | None:
        """Total memory of the smallest usable unit, MiB."""
        known = [unit.memory_total_mib for unit in self.group if unit.memory_total_mib]
        return min(known, default=None)

    @property
    def context(self) -> int:
        """The context length served: asked for, else the model's maximum."""
        return int(
            self.given("context_length") or self.request.context_length or self.variant.max_context
        )

    @property
    def simulated(self) -> bool:
        """Whether the hardware is a platform row, not a machine."""
        return self.inventory.source in SIMULATED

    @property
    def local_model(self) -> bool:
        """Whether the weights are a folder of this machine."""
        return is_folder(self.request.model_path)

    def cell(self, mtp: bool | None = None) -> Cell | None:
        """The published settings for this variant, platform and checkpoint line."""
        return self._cell(self.platform_name, self.mtp if mtp is None else mtp)

    def similar_cell(self, mtp: bool | None = None) -> Cell | None:
        """The published settings of the platform that this one resembles."""
        if self.platform.like is None:
            return None
        return self._cell(self.platform.like, self.mtp if mtp is None else mtp)

    def _cell(self, platform: str, mtp: bool) -> Cell | None:
        return lookup.cell(self.profiles, self.variant_name, platform, self.checkpoint.line, mtp)

    @property
    def auto_size(self) -> AutoSize | None:
        """What SGLang picks by memory for prefill chunks and CUDA graphs."""
        if self.unit_mib is None:
            return None
        return lookup.auto_size(self.profiles, self.release.row_name, self.unit_mib)


def is_folder(path: str | None) -> bool:
    """Whether a model path is a folder rather than a repository name."""
    return path is not None and PurePath(path).is_absolute()


def situate(request: Request, inventory: Inventory, profiles: Profiles) -> Situation:
    """Resolve every name of ``request``.

    Raises:
        UsageError: a name is unknown.
        NoPlanError: the hardware cannot be planned for.
    """
    variant = profiles.variants[request.model]
    checkpoint = lookup.checkpoint(profiles, request.model, request.checkpoint)
    group = _asked(request, inventory, _group(request, inventory, profiles))
    platform_name, platform = _platform(group, profiles)
    release = _release(request, inventory, profiles, platform, variant.min_release)
    flags = load_flags(release.name)
    user = parse(request.extra_args, flags)
    return Situation(
        request=request,
        inventory=inventory,
        profiles=profiles,
        variant=variant,
        checkpoint=checkpoint,
        platform_name=platform_name,
        platform=platform,
        release=release,
        group=group,
        usable=only(inventory, group),
        flags=flags,
        user=user,
        user_words=tuple(split(request.extra_args, flags)),
    )


def _group(request: Request, inventory: Inventory, profiles: Profiles) -> tuple[Unit, ...]:
    """The units of the best-equipped platform and kind: what one plan can use together."""
    named = request.gpus if isinstance(request.gpus, tuple) else None
    candidates = choose(inventory, len(named), ids=named).units if named else units(inventory)
    usable = [
        unit
        for unit in candidates
        if unit.health.status not in ("lost", "unreadable") and _plannable(unit, profiles)
    ]
    if not usable:
        raise NoPlanError(
            "no GPU that a plan can use",
            needed="a GPU whose memory and architecture can be read",
            found="; ".join(inventory.problems)
            or ", ".join(f"{unit.name} ({unit.health.status})" for unit in units(inventory))
            or "no GPU",
            remedies=[
                "look at the devices: gemma4ctl detect",
                "plan for other hardware: --hardware H200 --gpus 1",
            ],
            code="no-usable-gpu",
        )

    def weight(key: tuple[str, str]) -> tuple[int, int]:
        members = [unit for unit in usable if _key(unit) == key]
        return (
            sum(unit.memory_free_mib or unit.memory_total_mib or 0 for unit in members),
            -members[0].index,
        )

    best = max({_key(unit) for unit in usable}, key=weight)
    return tuple(unit for unit in usable if _key(unit) == best)


def _asked(request: Request, inventory: Inventory, group: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """The best of ``group`` where a number of GPUs was asked for."""
    if not isinstance(request.gpus, int) or request.gpus == len(group):
        return group
    return choose(only(inventory, group), request.gpus).units


def only(inventory: Inventory, group: tuple[Unit, ...]) -> Inventory:
    """``inventory`` with every unit outside ``group`` hidden."""
    kept = {(unit.index, unit.id) for unit in group}

    def seen(device: Device) -> Device:
        slices = tuple(
            part.model_copy(update={"visible": (device.index, part.uuid) in kept})
            for part in device.slices
        )
        whole = (device.index, device.uuid or str(device.index)) in kept
        return device.model_copy(update={"slices": slices, "visible": whole})

    return inventory.model_copy(update={"devices": tuple(map(seen, inventory.devices))})


def _key(unit: Unit) -> tuple[str, str]:
    return unit.platform or unit.name, unit.kind


def _plannable(unit: Unit, profiles: Profiles) -> bool:
    """Whether enough is known: a row of the table, or architecture and memory."""
    if unit.platform in profiles.platforms:
        return True
    return unit.architecture is not None and unit.memory_total_mib is not None


def _platform(group: tuple[Unit, ...], profiles: Profiles) -> tuple[str, Platform]:
    """The row of the group's platform; for a GPU without a row, one made of what was detected."""
    first = group[0]
    if first.platform in profiles.platforms:
        return first.platform, profiles.platforms[first.platform]
    return first.name, Platform(
        title=first.name,
        vendor=first.vendor,
        architecture=first.architecture or "",
        memory_mib=first.memory_total_mib,
        source="detected",
    )


def _release(
    request: Request,
    inventory: Inventory,
    profiles: Profiles,
    platform: Platform,
    min_release: str,
) -> ChosenRelease:
    """The release asked for, else the installed one, else the table's for this platform."""
    installed = inventory.host.packages.get("sglang")
    if request.sglang_version:
        name = request.sglang_version.strip().removeprefix("v")
        reason, origin = "asked for", request.origins.get("sglang_version", "flag")
    elif installed:
        name, reason, origin = installed, "installed on this host", "rule"
    else:
        name = platform.default_release or profiles.default_release
        reason, origin = "the release that the published figures were measured on", "rule"
        if Version(name) < Version(min_release):
            name = profiles.default_release
            reason = f"the platform's usual release is older than {min_release}"
    row_name = nearest_release(name, profiles)
    return ChosenRelease(
        name=name, row_name=row_name, row=profiles.releases[row_name], reason=reason, origin=origin
    )


def nearest_release(name: str, profiles: Profiles) -> str:
    """The row that describes release ``name``: itself, else the newest that is not newer.

    Raises:
        UsageError: ``name`` is no version.
        NoPlanError: it is older than every row.
    """
    try:
        asked = Version(name)
    except InvalidVersion:
        raise UsageError(
            f"{name!r} is no SGLang release",
            needed="a version number, such as " + profiles.default_release,
            found=name,
            remedies=["list the known releases: gemma4ctl profiles list releases"],
            code="release-unknown",
        ) from None
    known: Mapping[Version, str] = {Version(row): row for row in profiles.releases}
    older = [version for version in known if version <= asked]
    if not older:
        oldest = known[min(known)]
        raise NoPlanError(
            f"SGLang {name} cannot serve Gemma 4",
            needed=f"SGLang {oldest} or newer",
            found=name,
            remedies=[f"--sglang-version {profiles.default_release}"],
            code="release-too-old",
        )
    return known[max(older)]
