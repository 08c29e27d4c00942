"""The shape of ``profiles.yaml``: every fact that rules read, each with its source.

The JSON schema of :class:`Profiles` is generated into ``gemma4ctl/profiles/profiles.schema.json``.
Memory is in MiB, sizes in bytes; a ``source`` is a key of ``sources``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal, TypeVar

from gemma4ctl.hardware.inventory import Vendor
from gemma4ctl.model import Bounds, Model, Positive

Modality = Literal["text", "image", "audio"]
Status = Literal["verified", "estimated", "broken"]


class Source(Model):
    """Where a fact comes from."""

    title: str
    url: str | None = None
    date: str | None = None  # ISO date the fact was published or read


class PerKind(Model):
    """A pair of numbers for the two kinds of attention layer."""

    sliding: int
    full: int


class Experts(Model):
    """The mixture of experts of a layer."""

    count: int
    top_k: int
    intermediate_size: int
    parameters: int  # of all experts of the model


class VisionTower(Model):
    """The image encoder; ``layers`` is 0 for the encoder-free 12B."""

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    parameters: int


class AudioTower(Model):
    """The audio encoder; ``layers`` is 0 for the encoder-free 12B."""

    hidden_size: int
    layers: int
    parameters: int


class Draft(Model):
    """The paired MTP assistant. It owns no KV cache: its layers read the target's."""

    architecture: str
    layers: PerKind
    hidden_size: int
    intermediate_size: int
    ordered_vocabulary: bool = False  # its output layer is clustered by centroids
    attention_heads: int
    kv_heads: PerKind
    parameters: int


class Variant(Model):
    """One Gemma 4 model: the numbers of its published ``config.json``."""

    title: str
    architecture: str  # architectures[0]
    model_type: str
    text_model_type: str
    parameters: int
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    double_wide_mlp: bool = False  # the KV-shared layers have a twice as wide MLP
    layers: PerKind
    attention_heads: int
    kv_heads: PerKind
    head_dim: PerKind
    k_eq_v: bool  # full layers have no value projection: K is loaded as V too
    sliding_window: int
    kv_shared_layers: PerKind  # layers that reuse another layer's KV
    per_layer_input: int  # width of the per-layer embeddings, 0 without
    experts: Experts | None = None
    vision: VisionTower
    audio: AudioTower | None = None
    modalities: tuple[Modality, ...]
    bidirectional_images: bool  # image tokens attend to each other in both directions
    image_tokens: int  # soft tokens of one image at the default budget
    max_image_tokens: int
    max_context: int
    reasoning_parser: str
    tool_call_parser: str
    min_release: str
    mtp_min_release: str
    draft: Draft
    source: str


class Checkpoint(Model):
    """Weights that can be served: one published repository."""

    id: str  # Hugging Face repository
    variant: str
    name: str  # what --checkpoint takes; unique within a variant
    format: Literal["bf16", "fp8", "nvfp4", "w4a16"]
    weight_bytes: int | None = None  # sum of its safetensors files
    largest_shard_bytes: int | None = None
    line: str  # checkpoint line: "standard" or "qat"; the draft is of the same line
    draft: str | None = None  # repository of the paired draft
    draft_bytes: int | None = None
    kv_cache: Literal["bf16", "fp8"] | None = None  # that it declares; None: not known, or bf16
    vendors: tuple[Vendor, ...] = ("nvidia", "amd", "intel")
    architectures: tuple[str, ...] = ()  # GPU architectures it needs; empty: any
    status: Status
    broken_in: tuple[str, ...] = ()  # releases it does not load in; empty with "broken": all
    note: str | None = None
    remedy: str | None = None
    source: str


class Platform(Model):
    """A GPU model (or CPU) that plans can be made for."""

    title: str
    vendor: Vendor
    kind: Literal["gpu", "cpu"] = "gpu"
    architecture: str  # "sm_90", "gfx942", "xe2", "amx"
    memory_mib: int | None = None  # as the driver reports it; None where it is not one number
    bandwidth_gb_s: float | None = None
    interconnect: str | None = None
    node_size: int = 8
    cpu_architectures: tuple[str, ...] = ("x86_64",)
    unified_memory: bool = False
    names: tuple[str, ...] = ()  # regular expressions over the driver's device name, any case
    memory_range_mib: tuple[int, int] | None = None  # told apart by memory where names are equal
    device_flags: tuple[str, ...] = ()  # e.g. --device cpu --disable-overlap-schedule
    mtp_algorithm: Literal["NEXTN", "NGRAM", "none"] = "NEXTN"
    like: str | None = None  # platform whose cells serve as estimates here
    default_release: str | None = None
    note: str | None = None
    source: str


class Release(Model):
    """An SGLang release and what it can do with Gemma 4."""

    date: str | None = None
    transformers: str
    torch: str | None = None
    flashinfer: str | None = None
    cuda_major: tuple[int, ...] = ()  # CUDA majors of its wheels and images
    mtp: bool
    attention_backends: tuple[str, ...]  # accepted for Gemma 4; empty: no check at start
    default_backend: dict[str, str] = {}  # "sm_100" -> trtllm_mha; "*" -> triton
    declared_kv: tuple[str, ...] = ("nvfp4",)  # formats whose own KV type it follows
    graph_max_bs_flag: str  # --cuda-graph-max-bs or --cuda-graph-max-bs-decode
    note: str | None = None
    source: str


class Image(Model):
    """A container image."""

    reference: str
    vendor: Vendor
    release: str | None  # None: a development build
    cuda: str | None = None  # "13.0"
    rocm: str | None = None
    gpu_architectures: tuple[str, ...] = ()  # empty: any of the vendor
    cpu_architectures: tuple[str, ...] = ("x86_64",)
    variants: tuple[str, ...] = ()  # empty: all that the release serves
    status: Literal["verified", "guess"]
    source: str


class Cell(Model):
    """Published or measured settings of one variant on one platform and checkpoint line.

    ``mtp``: the cell is for MTP on (True), off (False) or both (None).
    ``scheduler_recv_interval`` pays at high concurrency only. ``load`` says, in words, the load
    that a tuned cell was measured with; a published cell has none.
    """

    variant: str
    platform: str
    line: str = "standard"
    mtp: bool | None = None
    tp: Positive
    mem_fraction: Annotated[float, Bounds(gt=0, lt=1)] | None = None
    attention_backend: str | None = None
    attention_backend_for: tuple[Modality, ...] = ()  # needed only with these; empty: always
    scheduler_recv_interval: int | None = None
    swa_full_tokens_ratio: Annotated[float, Bounds(gt=0, le=1)] | None = None
    chunked_prefill_size: int | None = None
    cuda_graph_max_bs: Positive | None = None
    triton_attention_num_kv_splits: Positive | None = None
    speculative_num_steps: Positive | None = None
    speculative_eagle_topk: Positive | None = None
    speculative_num_draft_tokens: Annotated[int, Bounds(ge=2)] | None = None
    load: str | None = None
    release: str | None = None
    status: Status
    note: str | None = None
    source: str
    date: str | None = None


class AutoSize(Model):
    """What SGLang picks by GPU memory when the flags are unset.

    The rows of the newest ``since`` that is not newer than a release apply to it; of these, the
    first whose ``below_mib`` is above the smallest GPU's total memory.
    """

    since: str
    below_mib: int | None = None  # None: any memory
    chunked_prefill: int
    graph_max_bs: int  # largest decode batch with a CUDA graph at TP below 4
    graph_max_bs_tp4: int  # the same at TP 4 and above
    source: str


class MtpDefaults(Model):
    """The speculative triple; always emitted complete."""

    steps: int
    draft_tokens: int
    topk: int
    max_running_requests: int  # SGLang's own cap when unset
    source: str


Key = TypeVar("Key")
Row = TypeVar("Row")


def _grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> Mapping[Key, Sequence[Row]]:
    """The rows of each key, in their order."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


class Profiles(Model):
    """The whole table."""

    schema_version: Literal[1]
    sources: dict[str, Source]
    variants: dict[str, Variant]
    checkpoints: tuple[Checkpoint, ...]
    platforms: dict[str, Platform]
    releases: dict[str, Release]
    default_release: str
    images: tuple[Image, ...]
    cells: tuple[Cell, ...]
    auto_sizes: tuple[AutoSize, ...] = ()
    mtp: MtpDefaults
    hash: str = ""  # SHA-256 of the files the table was read from

    @cached_property
    def cells_by_place(self) -> Mapping[tuple[str, str, str], Sequence[Cell]]:
        """The cells of each variant, platform and checkpoint line."""
        return _grouped(self.cells, lambda cell: (cell.variant, cell.platform, cell.line))

    @cached_property
    def images_by_release(self) -> Mapping[str | None, Sequence[Image]]:
        """The images of each release."""
        return _grouped(self.images, lambda image: image.release)
