"""The plan: the complete, immutable result that every output renders."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from gemma4ctl.hardware.inventory import Source, Unit, Vendor
from gemma4ctl.model import Model
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.table import Status

Severity = Literal["crash", "oom", "silent", "perf", "security"]
ImageStatus = Literal["verified", "guess", "user"]
Value = str | int | float | bool | tuple[str, ...] | None

# Titles of splits.
THIS_PLAN = "this plan"
DEFAULT_SPLIT = "SGLang's default split"
LOAD_SPLIT = "split for the load"
ONCE_CERTIFIED = "kernels_once_certified"  # what would be faster; the reason is how to certify it


class Decision(Model):
    """One chosen value.

    ``flag`` (full name) or ``env`` say how it reaches SGLang; with neither it is a conclusion that
    other rules and readers use. A value of True renders the bare flag, False and None render
    nothing, a tuple renders one flag with several values. ``origin`` is "rule", or what overruled
    the rules: the origin of a request field, or "after --".
    """

    name: str
    value: Value
    flag: str | None = None
    env: str | None = None
    rule: str
    reason: str
    source: str
    status: Status
    origin: str = "rule"


class PlanWarning(Model):
    """Something the user should know, with what to do about it."""

    code: str
    severity: Severity
    message: str
    remedy: str
    rule: str


class HardwareSummary(Model):
    """The devices: ``gpu_count`` is what the plan uses, ``host_gpu_count`` what the host has."""

    platform: str
    vendor: Vendor
    architecture: str
    gpu_count: int
    host_gpu_count: int
    memory_mib: int | None  # of one unit, total
    free_mib: int | None  # of the fullest chosen unit
    source: Source
    units: tuple[Unit, ...]  # chosen, in the order of the ranks
    pinned: bool  # the devices are named in the command (False: whole simulated node)
    choice: str  # why these


class VariantSummary(Model):
    """The weights of the plan."""

    name: str
    model_path: str
    checkpoint: str
    local: bool  # model_path is a folder
    draft_path: str | None = None
    draft_local: bool = False


class MemoryStages(Model):
    """The memory of one GPU from bottom to top, MiB; ``free`` is left for activations."""

    total: int
    others: int  # the driver and other processes
    runtime: int  # CUDA context, kernels, communicators
    weights: int
    draft: int
    full_kv: int
    sliding_kv: int
    tables: int
    graphs: int
    free: int


class Split(Model):
    """A split of the same KV memory, and the requests of a load that it runs at once."""

    title: str
    swa_full_tokens_ratio: float
    full_layer_tokens: int
    swa_layer_tokens: int
    requests: int
    limit: str  # what stops more: "full pool", "sliding pool" or "running requests"


class Capacity(Model):
    """What the memory of one GPU holds. MiB, tokens; None where the platform is not modelled.

    ``full_layer_tokens`` and ``swa_layer_tokens`` are the sizes of SGLang's two KV pools.
    ``max_concurrent_requests`` is at the plan's context length (the model's maximum when none was
    asked); ``max_context_tokens`` is the longest single request. ``load`` says what ``splits``
    are compared for: the load that the plan is tuned to or could be, else 32k requests. The first
    split is the plan's own, the second SGLang's default, or that of a plan tuned to the load where
    this one is not (with --optimize, without --safe).
    """

    weights_mib_per_gpu: int
    draft_mib_per_gpu: int = 0
    kv_bytes_per_token: int
    full_layer_tokens: int
    swa_layer_tokens: int
    max_concurrent_requests: int
    max_context_tokens: int
    basis: str  # how it was computed, for the reader
    load: str = ""
    splits: tuple[Split, ...] = ()
    stages: MemoryStages | None = None


class ImageChoice(Model):
    """The container image."""

    reference: str
    status: ImageStatus
    reason: str
    source: str


class Plan(Model):
    """The result of planning. ``decisions`` are in the order of the command line."""

    schema_version: Literal[1] = 1
    gemma4ctl_version: str
    profiles_hash: str
    request: Request
    hardware: HardwareSummary
    variant: VariantSummary
    release: str
    image: ImageChoice | None
    decisions: tuple[Decision, ...]
    extra_args: tuple[str, ...] = ()  # the user's own flags, after --
    capacity: Capacity | None
    warnings: tuple[PlanWarning, ...] = ()

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """The plan as plain data for JSON; it is made once, and nobody changes it."""
        return self.model_dump(mode="json")

    def decision(self, name: str) -> Decision | None:
        """The decision called ``name``, or None."""
        return next((d for d in self.decisions if d.name == name), None)

    def value(self, name: str) -> Value:
        """The value of the decision called ``name``, None when there is none."""
        found = self.decision(name)
        return found.value if found else None
