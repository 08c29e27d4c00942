"""Invariants of every row of the built-in table."""

from __future__ import annotations

import re
from itertools import pairwise, product

import pytest
from packaging.version import Version

from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.lookup import images, match_device
from gemma4ctl.profiles.problems import dangling
from gemma4ctl.profiles.table import Cell, Checkpoint, Image, Profiles, Variant

PROFILES = load()
MTP_LAYERS = 4


def ids(row: Cell | Checkpoint | Image) -> str:
    match row:
        case Cell():
            return f"{row.variant}-{row.platform}-{row.line}-{row.mtp}"
        case Checkpoint():
            return row.id
    return row.reference


each_cell = pytest.mark.parametrize("row", PROFILES.cells, ids=ids)
each_checkpoint = pytest.mark.parametrize("row", PROFILES.checkpoints, ids=ids)
each_image = pytest.mark.parametrize("row", PROFILES.images, ids=ids)
each_variant = pytest.mark.parametrize("name", PROFILES.variants)
each_platform = pytest.mark.parametrize("name", PROFILES.platforms)
each_release = pytest.mark.parametrize("name", PROFILES.releases)


def test_every_reference_resolves() -> None:
    assert list(dangling(PROFILES)) == []


def used_sources(profiles: Profiles) -> set[str]:
    rows = (
        *profiles.variants.values(),
        *profiles.checkpoints,
        *profiles.platforms.values(),
        *profiles.releases.values(),
        *profiles.images,
        *profiles.cells,
        *profiles.auto_sizes,
        profiles.mtp,
    )
    return {row.source for row in rows}


def test_every_source_is_used() -> None:
    assert used_sources(PROFILES) == set(PROFILES.sources)


@pytest.mark.parametrize("name", PROFILES.sources)
def test_sources_can_be_followed(name: str) -> None:
    source = PROFILES.sources[name]
    assert source.title
    assert source.url is not None or source.date is not None
    assert source.url is None or source.url.startswith("https://")
    assert source.date is None or re.fullmatch(r"2026-\d\d(-\d\d)?", source.date)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("checkpoints", lambda row: row.id),
        ("checkpoints", lambda row: (row.variant, row.name)),
        ("images", lambda row: row.reference),
        ("cells", lambda row: (row.variant, row.platform, row.line, row.mtp)),
        ("auto_sizes", lambda row: (row.since, row.below_mib)),
    ],
)
def test_identities_are_unique(section: str, key) -> None:  # type: ignore[no-untyped-def]
    keys = [key(row) for row in getattr(PROFILES, section)]
    assert len(keys) == len(set(keys))


# Variants


@each_variant
def test_kv_shared_layers_are_some_of_the_layers(name: str) -> None:
    row = PROFILES.variants[name]
    assert row.kv_shared_layers.sliding < row.layers.sliding
    assert row.kv_shared_layers.full < row.layers.full


# (layers, sliding layers before each full one, first KV-shared layer)
PATTERNS = {
    "E2B": (35, 4, 15),
    "E4B": (42, 5, 24),
    "12B": (48, 5, 48),
    "31B": (60, 5, 60),
    "26B-A4B": (30, 5, 30),
}


@pytest.mark.parametrize(("name", "pattern"), PATTERNS.items())
def test_layer_counts_follow_from_the_pattern(name: str, pattern: tuple[int, int, int]) -> None:
    total, run, first_shared = pattern
    full = [layer for layer in range(total) if layer % (run + 1) == run]
    shared_full = [layer for layer in full if layer >= first_shared]
    row = PROFILES.variants[name]
    assert (row.layers.full, row.layers.sliding) == (len(full), total - len(full))
    assert row.kv_shared_layers.full == len(shared_full)
    assert row.kv_shared_layers.sliding == total - first_shared - len(shared_full)


@each_variant
def test_draft_shares_heads_and_window_kinds_with_its_target(name: str) -> None:
    row = PROFILES.variants[name]
    assert row.draft.layers.sliding + row.draft.layers.full == MTP_LAYERS
    assert row.draft.kv_heads == row.kv_heads, "the draft reads the target's KV"
    assert row.draft.architecture == row.architecture.replace(
        "ForConditionalGeneration", "AssistantForCausalLM"
    )
    assert row.draft.parameters < row.parameters / 10


@each_variant
def test_modalities_have_their_tower(name: str) -> None:
    row = PROFILES.variants[name]
    assert ("audio" in row.modalities) == (row.audio is not None)
    assert "image" in row.modalities
    assert row.vision.parameters > 0
    assert (row.vision.layers == 0) == ("Unified" in row.architecture)
    assert row.image_tokens <= row.max_image_tokens


@each_variant
def test_mtp_needs_a_release_that_has_it(name: str) -> None:
    row = PROFILES.variants[name]
    assert Version(row.mtp_min_release) >= Version(row.min_release)
    assert PROFILES.releases[row.mtp_min_release].mtp


def test_expert_parameters_are_three_matrices_each() -> None:
    row = PROFILES.variants["26B-A4B"]
    assert row.experts is not None
    layers = row.layers.sliding + row.layers.full
    per_expert = 3 * row.hidden_size * row.experts.intermediate_size
    assert row.experts.parameters == layers * row.experts.count * per_expert


def kv_bytes(row: Variant, tp: int) -> tuple[int, int]:
    """Bytes per token of the full and the sliding layers on one rank, in bf16."""
    full = max(1, row.kv_heads.full // tp) * row.head_dim.full * 2 * 2
    sliding = max(1, row.kv_heads.sliding // tp) * row.head_dim.sliding * 2 * 2
    return full * row.layers.full, sliding * row.layers.sliding


# Full part, sliding part, cell at ratio 0.8 for TP 1/2/4/8, and what MTP adds at TP 1.
KV = {
    "E2B": (14336, 28672, (37274, 37274, 37274, 37274), 8192),
    "E4B": (28672, 71680, (86016, 43008, 43008, 43008), 16384),
    "12B": (16384, 327680, (278528, 147456, 81920, 49152), 8192),
    "26B-A4B": (20480, 204800, (184320, 92160, 51200, 30720), 16384),
    "31B": (81920, 819200, (737280, 368640, 184320, 102400), 32768),
}


@pytest.mark.parametrize("name", KV)
def test_kv_bytes_per_token(name: str) -> None:
    row = PROFILES.variants[name]
    full, sliding, cells, mtp = KV[name]
    assert kv_bytes(row, 1) == (full, sliding)
    for tp, expected in zip((1, 2, 4, 8), cells, strict=True):
        full_part, sliding_part = kv_bytes(row, tp)
        assert round(full_part + 0.8 * sliding_part) == expected
    assert row.kv_heads.full * row.head_dim.full * 2 * 2 * MTP_LAYERS == mtp


# Checkpoints


@each_checkpoint
def test_draft_is_of_the_same_line(row: Checkpoint) -> None:
    assert row.draft is not None
    assert row.draft.endswith("-assistant")
    assert f"gemma-4-{row.variant}-it" in row.draft
    assert ("-qat-" in row.draft) == (row.line == "qat") == ("-qat-" in row.id)


@each_checkpoint
def test_bf16_weights_are_two_bytes_a_parameter(row: Checkpoint) -> None:
    if row.format == "bf16":
        parameters = PROFILES.variants[row.variant].parameters
        assert row.weight_bytes == pytest.approx(2 * parameters, rel=0.001)
    elif row.weight_bytes is not None:
        assert row.weight_bytes < 2 * PROFILES.variants[row.variant].parameters


@each_checkpoint
def test_a_shard_is_a_part(row: Checkpoint) -> None:
    if row.largest_shard_bytes is not None:
        assert row.weight_bytes is not None
        assert row.weight_bytes / 8 < row.largest_shard_bytes <= row.weight_bytes


@each_checkpoint
def test_draft_bytes_fit_the_draft(row: Checkpoint) -> None:
    if row.draft_bytes is not None:
        draft = PROFILES.variants[row.variant].draft
        assert row.draft_bytes == pytest.approx(2 * draft.parameters, rel=0.02)


@each_checkpoint
def test_broken_says_why_and_what_to_do(row: Checkpoint) -> None:
    if row.status == "broken":
        assert row.note
        assert row.remedy


@each_checkpoint
def test_nvfp4_needs_blackwell(row: Checkpoint) -> None:
    if row.format == "nvfp4":
        assert row.vendors == ("nvidia",)
        assert set(row.architectures) == {"sm_100", "sm_103", "sm_120", "sm_121"}


@each_variant
def test_every_variant_has_its_bf16_checkpoint(name: str) -> None:
    assert next(row.name for row in PROFILES.checkpoints if row.variant == name) == "bf16"


# Platforms: device names as drivers print them, from public captures.

DEVICES = {
    ("NVIDIA H100 80GB HBM3", 81559): "H100",
    ("NVIDIA H100 PCIe", 81559): "H100",
    ("NVIDIA H100 NVL", 95830): "H100-NVL",
    ("NVIDIA H200", 143771): "H200",
    ("NVIDIA H200 NVL", 143771): "H200",
    ("NVIDIA H20", 97871): "H20",
    ("NVIDIA H20-3e", 143771): None,
    ("NVIDIA GH200 480GB", 97871): None,
    ("NVIDIA A100-SXM4-80GB", 81920): "A100-80G",
    ("NVIDIA A100 80GB PCIe", 81920): "A100-80G",
    ("A100-SXM4-80GB", 81251): "A100-80G",
    ("NVIDIA A100-SXM4-40GB", 40960): None,
    ("NVIDIA A100-PCIE-40GB", 40960): None,
    ("NVIDIA L40S", 46068): "L40S",
    ("NVIDIA L40", 46068): None,
    ("NVIDIA L4", 23034): None,
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887): "RTX-PRO-6000",
    ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97887): "RTX-PRO-6000",
    ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 97887): "RTX-PRO-6000",
    ("NVIDIA RTX 6000 Ada Generation", 49140): None,
    ("NVIDIA RTX PRO 4000 Blackwell SFF Edition", 24467): None,
    ("NVIDIA GeForce RTX 4090", 24564): "RTX-4090",
    ("NVIDIA GeForce RTX 4090 D", 24564): "RTX-4090",
    ("NVIDIA GeForce RTX 4090", 49140): None,
    ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376): None,
    ("NVIDIA GeForce RTX 5090", 32607): "RTX-5090",
    ("NVIDIA GeForce RTX 5090 Laptop GPU", 24463): None,
    ("NVIDIA GeForce RTX 3090", 24576): None,
    ("NVIDIA GB10", None): "GB10",
    ("NVIDIA B200", 183359): "B200",
    ("NVIDIA B300 SXM6 AC", 275040): "B300",
    ("NVIDIA GB200", 189471): "GB200",
    ("NVIDIA GB300", 284208): "GB300",
    ("NVIDIA GB300", 256703): "GB300",
    ("AMD Instinct MI300X", 196592): "MI300X",
    ("AMD Instinct MI300X OAM", 196592): "MI300X",
    ("AMD Instinct MI300X VF", 196592): "MI300X",
    ("AMD Instinct MI300A", 131072): None,
    ("AMD Instinct MI308X", 196592): None,
    ("AMD Instinct MI325X", 262128): "MI325X",
    ("AMD Instinct MI325X VF", 262128): "MI325X",
    ("AMD Instinct MI350X", 294896): "MI350X",
    ("AMD Instinct MI355X", 294896): "MI355X",
    ("AMD Instinct MI250X", 65536): None,
    ("Intel(R) Arc(TM) B580 Graphics", 12216): "Arc-B",
    ("Intel(R) Arc(TM) Pro B60 Graphics", 24480): "Arc-B",
    ("Intel(R) Arc(TM) A770 Graphics", 16225): None,
    ("Intel(R) Xeon(R) 6972P", None): "Xeon",
    ("AMD EPYC 9654 96-Core Processor", None): None,
    ("Tesla V100-SXM2-32GB", 32768): None,
}


@pytest.mark.parametrize(("device", "platform"), DEVICES.items(), ids=str)
def test_device_names_match_their_platform_alone(
    device: tuple[str, int | None], platform: str | None
) -> None:
    name, memory = device
    assert match_device(PROFILES, name, memory) == platform
    by_name = [
        key
        for key, row in PROFILES.platforms.items()
        if any(re.search(pattern, name, re.IGNORECASE) for pattern in row.names)
    ]
    assert len(by_name) <= 1


@each_platform
def test_every_platform_is_recognised(name: str) -> None:
    assert name in DEVICES.values()


@each_platform
def test_platform_facts_are_plausible(name: str) -> None:
    row = PROFILES.platforms[name]
    prefix = {"nvidia": "sm_", "amd": "gfx", "intel": ("xe", "amx")}[row.vendor]
    assert row.architecture.startswith(prefix)
    if row.vendor != "intel":
        assert row.memory_mib is not None
        assert row.bandwidth_gb_s is not None
    if row.memory_range_mib is not None and row.memory_mib is not None:
        assert row.memory_range_mib[0] <= row.memory_mib <= row.memory_range_mib[1]


@each_platform
def test_like_leads_to_published_cells_of_the_same_vendor(name: str) -> None:
    row = PROFILES.platforms[name]
    if row.like is not None:
        target = PROFILES.platforms[row.like]
        assert target.like is None
        assert target.vendor == row.vendor
        assert any(cell.platform == row.like for cell in PROFILES.cells)


@pytest.mark.parametrize(
    ("name", "size"),
    {"H200": 8, "MI300X": 8, "RTX-4090": 8, "GB200": 4, "GB300": 4, "GB10": 1}.items(),
)
def test_node_sizes(name: str, size: int) -> None:
    assert PROFILES.platforms[name].node_size == size


# Releases


def test_releases_are_in_order_and_complete() -> None:
    names = list(PROFILES.releases)
    assert names == sorted(names, key=Version)
    assert {f"0.5.{patch}" for patch in range(11, 24)} <= set(names)
    dates = [row.date or "" for row in PROFILES.releases.values()]
    assert dates == sorted(dates)


@each_release
def test_release_defaults_are_accepted_backends(name: str) -> None:
    row = PROFILES.releases[name]
    accepted = row.attention_backends
    assert row.default_backend["*"] == "triton"
    assert not accepted or set(row.default_backend.values()) <= set(accepted)
    assert bool(accepted) == (Version(name) >= Version("0.5.13"))
    assert ("sm_100" in row.default_backend) == bool(accepted)
    assert row.default_backend.get("sm_103") == row.default_backend.get("sm_100")


@each_release
def test_release_flags_and_cuda(name: str) -> None:
    row, version = PROFILES.releases[name], Version(name)
    decode = "-decode" if version >= Version("0.5.14") else ""
    assert row.graph_max_bs_flag == f"--cuda-graph-max-bs{decode}"
    assert row.cuda_major == ((13,) if version >= Version("0.5.20") else (12, 13))
    assert row.mtp == (version >= Version("0.5.13"))


def test_the_default_release_serves_everything() -> None:
    default = Version(PROFILES.default_release)
    for row in PROFILES.variants.values():
        assert Version(row.mtp_min_release) <= default


# Images


@each_image
def test_image_names_its_release_and_runtime(row: Image) -> None:
    tag = row.reference.partition(":")[2]
    if row.release is not None:
        assert tag.split("-")[0] == f"v{row.release}"
    assert (row.cuda is not None) == (row.vendor == "nvidia")
    assert (row.rocm is not None) == (row.vendor == "amd")
    if row.cuda and "cu1" in tag:
        assert f"cu{row.cuda.replace('.', '')}" in tag or f"cu{row.cuda[:2]}-" in tag
    if row.vendor == "amd":
        assert row.gpu_architectures == (("gfx942",) if "mi30x" in tag else ("gfx950",))


@each_image
def test_image_cuda_is_one_of_its_release(row: Image) -> None:
    if row.release is not None and row.cuda is not None:
        assert int(row.cuda.split(".")[0]) in PROFILES.releases[row.release].cuda_major


@each_image
def test_a_guess_is_called_one(row: Image) -> None:
    assert (row.status == "guess") == (row.source == "image-pattern")


@each_platform
def test_the_default_release_has_a_verified_image(name: str) -> None:
    row = PROFILES.platforms[name]
    for architecture in row.cpu_architectures:
        found = images(
            PROFILES,
            vendor=row.vendor,
            release=row.default_release or PROFILES.default_release,
            architecture=row.architecture,
            cpu_architecture=architecture,
        )
        assert found
        assert found[0].status == "verified"


@each_release
def test_every_release_has_an_nvidia_image_for_both_cpus(name: str) -> None:
    for architecture in ("x86_64", "aarch64"):
        assert images(PROFILES, vendor="nvidia", release=name, cpu_architecture=architecture)


# Cells


@each_cell
def test_tp_divides_the_heads(row: Cell) -> None:
    variant = PROFILES.variants[row.variant]
    assert variant.attention_heads % row.tp == 0
    for heads in (variant.kv_heads.sliding, variant.kv_heads.full):
        assert heads % row.tp == 0 or row.tp % heads == 0
    if variant.vision.heads:
        assert variant.vision.heads % row.tp == 0
    assert row.tp <= PROFILES.platforms[row.platform].node_size


@each_cell
def test_cell_backend_is_accepted(row: Cell) -> None:
    platform = PROFILES.platforms[row.platform]
    release = row.release or platform.default_release or PROFILES.default_release
    if row.attention_backend is not None:
        assert row.attention_backend in PROFILES.releases[release].attention_backends
    else:
        assert row.attention_backend_for == ()


@each_cell
def test_cell_has_a_checkpoint_of_its_line(row: Cell) -> None:
    names = [
        c.status for c in PROFILES.checkpoints if (c.variant, c.line) == (row.variant, row.line)
    ]
    assert names
    assert row.mem_fraction is None or 0 < row.mem_fraction < 1


@each_cell
def test_weights_fit_the_published_memory_fraction(row: Cell) -> None:
    memory = PROFILES.platforms[row.platform].memory_mib
    if memory is not None and row.mem_fraction is not None:
        weights = 2 * PROFILES.variants[row.variant].parameters / row.tp
        assert weights < memory * row.mem_fraction * 2**20


# Auto sizes


@pytest.mark.parametrize(
    "since", dict.fromkeys(row.since for row in PROFILES.auto_sizes), ids=lambda since: since
)
def test_auto_sizes_cover_all_memory(since: str) -> None:
    rows = [row for row in PROFILES.auto_sizes if row.since == since]
    limits = [row.below_mib for row in rows]
    assert limits[-1] is None
    assert limits[:-1] == sorted(limit for limit in limits if limit is not None)
    for smaller, larger in pairwise(rows):
        assert smaller.chunked_prefill <= larger.chunked_prefill
    assert all(row.graph_max_bs <= row.graph_max_bs_tp4 for row in rows)


def test_variants_and_platforms_are_all_described() -> None:
    assert list(PROFILES.variants) == ["E2B", "E4B", "12B", "31B", "26B-A4B"]
    wanted = (
        "H100 H200 H20 A100-80G L40S RTX-PRO-6000 RTX-4090 RTX-5090 GB10 B200 B300 GB200 GB300 "
        "MI300X MI325X MI350X MI355X Arc-B Xeon"
    )
    assert set(wanted.split()) <= set(PROFILES.platforms)


def test_formats_by_variant() -> None:
    names = {(row.variant, row.name) for row in PROFILES.checkpoints}
    assert set(product(PROFILES.variants, ("bf16", "qat"))) <= names
    assert ("26B-A4B", "qat-w4a16") not in names
