"""What ``fit`` finds, which is also what ``fit --json`` prints."""

from typing import Literal

from gemma4ctl.hardware.inventory import Source, Vendor
from gemma4ctl.model import Model
from gemma4ctl.planning.plan import MemoryStages

Group = Literal["runs", "less", "cannot"]
Limit = Literal["full pool", "sliding pool", "running requests", "memory", "context"]
LeverName = Literal[
    "published",
    "load",
    "more-running",
    "larger-share",
    "kv-fp8",
    "smaller-chunk",
    "fewer-graphs",
    "more-gpus",
    "unified-memory",
]


class FitHardware(Model):
    """The devices that there are. MiB of one of them; ``free_mib`` is that of the fullest."""

    platform: str
    kind: Literal["gpu", "mig", "partition"]
    vendor: Vendor
    gpu_count: int
    memory_mib: int | None
    free_mib: int | None
    source: Source


class Split(Model):
    """The two KV pools of a plan. ``share`` of the free memory is for weights and KV cache."""

    ratio: float
    share: float
    chunk: int  # tokens of a prefill chunk, -1: prompts are not cut
    full_layer_tokens: int
    swa_layer_tokens: int
    max_running_requests: int


class AtLength(Model):
    """Requests of ``tokens`` that run at once: with published values, and with the best split.

    "memory" limits a best split: both pools are full.
    """

    tokens: int
    published: int | None
    published_limit: Limit | None
    best: int | None
    best_limit: Limit | None
    best_split: Split | None
    command: str | None  # that plans the best split


class AtConcurrency(Model):
    """The longest requests of which ``requests`` run at once; 0: not even short ones.

    "context" limits where the length asked for, or the model's own, is reached.
    """

    requests: int
    published: int | None
    published_limit: Limit | None
    best: int | None
    best_limit: Limit | None
    best_split: Split | None
    command: str | None


class Lever(Model):
    """What one change brings for the load. ``gain`` is the ratio to the published values."""

    name: LeverName
    title: str
    gpus: int | None
    requests: int | None
    full_layer_tokens: int | None
    gain: float | None
    note: str
    command: str | None  # None: not to be had here


class VariantFit(Model):
    """Whether and how one variant runs.

    ``as_asked`` says whether ``suggest`` has a plan for exactly what was asked. Where it has none
    and ``group`` is "less", the figures are those of ``command``, the nearest that runs. Figures
    are None where the memory of the platform is not modelled, or nothing runs.
    """

    variant: str
    checkpoint: str
    group: Group
    as_asked: bool
    reason: str
    needed: str | None = None
    found: str | None = None
    remedies: tuple[str, ...] = ()
    command: str | None = None
    release: str | None = None
    gpus: int | None = None
    tp: int | None = None
    min_tp: int | None = None
    recommended_tp: int | None = None
    usage: MemoryStages | None = None  # of each GPU
    planned: Split | None = None
    published: Split | None = None
    max_context_tokens: int | None = None
    longest: AtConcurrency | None = None  # of one request alone
    lengths: tuple[AtLength, ...] = ()
    concurrencies: tuple[AtConcurrency, ...] = ()
    load: str | None = None  # that the levers are compared for
    levers: tuple[Lever, ...] = ()


class FitDocument(Model):
    """What runs on ``hardware``; ``fits``: something runs as it was asked for."""

    schema_version: Literal[1] = 1
    gemma4ctl_version: str
    profiles_hash: str
    hardware: FitHardware | None
    fits: bool
    variants: tuple[VariantFit, ...]
