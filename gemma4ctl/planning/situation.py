"""What rules see: the request with every name resolved, and the decisions made so far."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.flags.parse import Parsed, Words, parse, split
from gemma4ctl.flags.table import FlagTable
from gemma4ctl.flags.table import load as load_flags
from gemma4ctl.hardware.inventory import Device, Inventory, Unit
from gemma4ctl.hardware.select import Selection, choose
from gemma4ctl.model import Model
from gemma4ctl.planning.plan import Decision, Value
from gemma4ctl.planning.releases import ChosenRelease, choose_release
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles import lookup
from gemma4ctl.profiles.table import (
    AutoSize,
    Cell,
    Checkpoint,
    Modality,
    Platform,
    Profiles,
    Variant,
)

if TYPE_CHECKING:
    from gemma4ctl.planning.holding import Memory

LARGEST_TP = 16
FP8_KV = "fp8_e4m3"  # what SGLang makes of a checkpoint's FP8 KV cache
SIMULATED = ("flag", "default")


class Situation(Model):
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
    expected_tp: int = 1  # before `made` has one: what an earlier run of the rules chose
    made: dict[str, Decision] = {}
    selections: dict[int, Selection] = {}  # memo of `selection`
    cells: dict[tuple[str, bool], Cell | None] = {}  # memo of `cell`
    memories: dict[tuple[object, ...], Memory | None] = {}  # memo of planning.memory

    def asked_for(self, **changes: Any) -> Situation:
        """This situation, with what is decided so far, where fields of the request differ."""
        request = self.request.model_copy(update=changes)
        return self.model_copy(update={"request": request, "memories": {}})

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

    @cached_property
    def pp(self) -> int:
        """Pipeline stages: 1 unless the user's own flags say more."""
        return max(1, int(self.given("pp_size") or 1))

    @cached_property
    def groups(self) -> int:
        """Tensor-parallel groups that the user's own flags ask for: stages times replicas."""
        shared = self.given("enable_dp_attention") or self.given("attn_dp_size")
        return self.pp * (1 if shared else max(1, int(self.given("dp_size") or 1)))

    @property
    def servers(self) -> int:
        """Data-parallel servers that share the requests."""
        return self.groups // self.pp

    @property
    def concurrency_of_each(self) -> int | None:
        """Requests at once that each server is asked for; None when nothing was."""
        asked = self.request.concurrency
        return None if asked is None else -(-asked // self.servers)

    def selection(self, tp: int) -> Selection:
        """The units of a plan with TP ``tp``, rank by rank, and why these.

        Raises:
            NoPlanError: there are not that many that may work together.
        """
        count = tp * self.groups
        if count not in self.selections:
            if self.simulated and count <= len(self.group):
                reason = f"{count} of a simulated node of {len(self.group)}"
                self.selections[count] = Selection(units=self.group[:count], reason=reason)
            else:
                self.selections[count] = choose(self.usable, count)
        return self.selections[count]

    @property
    def mtp(self) -> bool:
        """Whether the plan drafts with the paired assistant (or n-grams on CPU)."""
        return bool(self.value("mtp"))

    @property
    def kv_cache_dtype(self) -> str:
        """The type of the KV cache: the user's, else what the checkpoint declares."""
        own = self.given("kv_cache_dtype")
        if own not in (None, "auto"):
            return str(own)
        declared = self.checkpoint.kv_cache if self.follows_declared_kv else None
        return FP8_KV if declared == "fp8" else "bf16"

    @property
    def follows_declared_kv(self) -> bool:
        """Whether the release gives the checkpoint the KV cache that it declares."""
        return self.checkpoint.format in self.release.row.declared_kv

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

    @cached_property
    def unit_mib(self) -> int | None:
        """Total memory of the smallest usable unit, MiB."""
        known = [unit.memory_total_mib for unit in self.group if unit.memory_total_mib]
        return min(known, default=None)

    @property
    def context_asked(self) -> int | None:
        """The context length asked for, by a flag after -- or by the request."""
        own = self.given("context_length")
        return self.request.context_length if own is None else int(own)

    @property
    def context(self) -> int:
        """The context length served: asked for, else the model's maximum; of at least a token."""
        asked = self.context_asked
        return self.variant.max_context if asked is None else max(1, asked)

    @property
    def cuda_major(self) -> int | None:
        """The newest CUDA major version that the driver supports; None when it is unknown."""
        version = re.match(r"\d+", self.inventory.host.cuda_driver_version or "")
        return int(version[0]) if version else None

    @property
    def simulated(self) -> bool:
        """Whether the hardware is a platform row, not a machine."""
        return self.inventory.source in SIMULATED

    def cell(self, mtp: bool | None = None) -> Cell | None:
        """The published settings for this variant, platform and checkpoint line."""
        return self._cell(self.platform_name, self.mtp if mtp is None else mtp)

    def similar_cell(self, mtp: bool | None = None) -> Cell | None:
        """The published settings of the platform that this one resembles."""
        if self.platform.like is None:
            return None
        return self._cell(self.platform.like, self.mtp if mtp is None else mtp)

    def _cell(self, platform: str, mtp: bool) -> Cell | None:
        if (platform, mtp) not in self.cells:
            self.cells[platform, mtp] = lookup.cell(
                self.profiles, self.variant_name, platform, self.checkpoint.line, mtp
            )
        return self.cells[platform, mtp]

    @cached_property
    def auto_size(self) -> AutoSize | None:
        """What SGLang picks by memory for prefill chunks and CUDA graphs."""
        if self.unit_mib is None:
            return None
        return lookup.auto_size(self.profiles, self.release.row_name, self.unit_mib)


def is_folder(path: str | None) -> bool:
    """Whether a model path is a folder rather than a repository name."""
    return path is not None and path.startswith("/")


def situate(
    request: Request, inventory: Inventory, profiles: Profiles, expected_tp: int = 1
) -> Situation:
    """Resolve every name of ``request``.

    Raises:
        UsageError: a name is unknown.
        NoPlanError: the hardware cannot be planned for.
    """
    variant = profiles.variants[request.model]
    checkpoint = lookup.checkpoint(profiles, request.model, request.checkpoint)
    group = _asked(request, inventory, _group(request, inventory, profiles))
    platform_name, platform = _platform(group, profiles)
    release = choose_release(request, inventory, profiles, platform, variant.min_release)
    flags = load_flags(release.row_name)
    _check_extra(request.extra_args)
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
        user=parse(request.extra_args, flags) if request.extra_args else Parsed({}, [], []),
        user_words=tuple(split(request.extra_args, flags)),
        expected_tp=expected_tp,
    )


def _check_extra(words: tuple[str, ...]) -> None:
    """SGLang would take a first word without dashes for the model."""
    if words and not words[0].startswith("-"):
        raise UsageError(
            f"{words[0]!r} after -- is not a flag",
            needed="flags of `sglang serve` after --",
            found=" ".join(words),
            remedies=["name the model with --model or --model-path, before --"],
            code="extra-args",
        )


def _group(request: Request, inventory: Inventory, profiles: Profiles) -> tuple[Unit, ...]:
    """The units of the best-equipped platform and kind: what one plan can use together."""
    named = request.gpus if isinstance(request.gpus, tuple) else None
    candidates = choose(inventory, len(named), ids=named).units if named else inventory.units
    usable = [
        unit
        for unit in candidates
        if unit.health.status not in ("lost", "unreadable") and _plannable(unit, profiles)
    ]
    if not usable:
        raise _no_unit(request, inventory)
    groups: dict[tuple[object, ...], list[Unit]] = {}
    for unit in usable:
        groups.setdefault(_key(unit), []).append(unit)
    wanted = request.gpus if isinstance(request.gpus, int) else 1
    large = [group for group in groups.values() if len(group) >= wanted]
    best = max(large or list(groups.values()), key=_weight)
    return tuple(best)


def _no_unit(request: Request, inventory: Inventory) -> NoPlanError:
    seen = ", ".join(f"{unit.name} ({unit.health.status})" for unit in inventory.units)
    return NoPlanError(
        "no GPU that a plan can use",
        needed="a GPU whose memory and architecture can be read",
        found="; ".join(inventory.problems) or seen or "no visible GPU",
        remedies=[
            "look at the devices: gemma4ctl detect",
            f"plan for other hardware: gemma4ctl suggest --model {request.model} --hardware H200",
        ],
        code="no-usable-gpu",
    )


def _weight(group: list[Unit]) -> tuple[int, int]:
    """What a plan can use of ``group``: free memory of all units, or of one MIG slice."""
    frees = [free_mib(unit) or 0 for unit in group]
    return max(frees) if group[0].kind == "mig" else sum(frees), -group[0].index


def free_mib(unit: Unit) -> int | None:
    """Free memory of ``unit``; its total where only that is known."""
    return unit.memory_total_mib if unit.memory_free_mib is None else unit.memory_free_mib


def _asked(request: Request, inventory: Inventory, group: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """The best of ``group`` where a number of GPUs was asked for."""
    if not isinstance(request.gpus, int) or request.gpus == len(group):
        return group
    return choose(only(inventory, group), request.gpus).units


def only(inventory: Inventory, group: tuple[Unit, ...]) -> Inventory:
    """``inventory`` with every unit outside ``group`` hidden."""
    if len(group) == len(inventory.units):
        return inventory
    kept = {(unit.index, unit.id) for unit in group}

    def seen(device: Device) -> Device:
        slices = tuple(
            part.model_copy(update={"visible": (device.index, part.uuid) in kept})
            for part in device.slices
        )
        whole = (device.index, device.uuid or str(device.index)) in kept
        if not slices and whole == device.visible:
            return device
        return device.model_copy(update={"slices": slices, "visible": whole})

    return inventory.model_copy(update={"devices": tuple(map(seen, inventory.devices))})


def _key(unit: Unit) -> tuple[object, ...]:
    """Units with equal keys may work together (as in :mod:`gemma4ctl.hardware.select`)."""
    listed = unit.platform is not None and unit.kind == "gpu"
    size = None if listed else unit.memory_total_mib
    return unit.vendor, unit.platform or unit.name, unit.kind, size


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
