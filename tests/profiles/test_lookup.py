"""Names, folders and rows: the questions that the rest of the program asks of the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.profiles import lookup
from gemma4ctl.profiles.load import load

PROFILES = load()


@pytest.mark.parametrize(
    ("text", "name"),
    {
        "26B-A4B": "26B-A4B",
        "26b-a4b": "26B-A4B",
        "26b": "26B-A4B",
        "26BA4B": "26B-A4B",
        "gemma-4-e2b": "E2B",
        "Gemma 4 E4B": "E4B",
        "gemma_4_12b_it": "12B",
        "google/gemma-4-31B-it": "31B",
        "GOOGLE/GEMMA-4-31B-IT": "31B",
        "google/gemma-4-26B-A4B-it-qat-q4_0-unquantized": "26B-A4B",
        "RedHatAI/gemma-4-E2B-it-FP8-dynamic": "E2B",
        "gemma-4-12B-it-qat-w4a16-ct": "12B",
        "nvidia/Gemma-4-26B-A4B-NVFP4": "26B-A4B",
    }.items(),
)
def test_variant_name(text: str, name: str) -> None:
    assert lookup.variant_name(PROFILES, text) == name


@pytest.mark.parametrize(
    ("text", "suggestion"), [("26B-A4", "26B-A4B"), ("gemma-4-e3b", "E2B"), ("31", "31B")]
)
def test_unknown_variant_names_the_nearest(text: str, suggestion: str) -> None:
    with pytest.raises(UsageError, match=f"unknown model: {text}") as caught:
        lookup.variant_name(PROFILES, text)
    assert suggestion in str(caught.value.remedies)
    assert caught.value.needed == "one of E2B, E4B, 12B, 31B, 26B-A4B"


@pytest.mark.parametrize("text", ["", "llama", "google/gemma-3-27b-it"])
def test_other_models_are_unknown(text: str) -> None:
    with pytest.raises(UsageError, match="unknown model"):
        lookup.variant_name(PROFILES, text)


def test_a_draft_is_no_model() -> None:
    with pytest.raises(UsageError, match="is an MTP draft") as caught:
        lookup.variant_name(PROFILES, "google/gemma-4-E2B-it-assistant")
    assert "google/gemma-4-E2B-it" in caught.value.remedies[0]


def test_checkpoint_by_name_and_by_id() -> None:
    assert lookup.checkpoint(PROFILES, "31B", "NVFP4").id == "nvidia/Gemma-4-31B-IT-NVFP4"
    with pytest.raises(UsageError, match="unknown checkpoint of E2B: nvfp4") as caught:
        lookup.checkpoint(PROFILES, "E2B", "nvfp4")
    assert caught.value.needed == "one of bf16, qat, qat-w4a16, fp8"
    found = lookup.checkpoint_by_id(PROFILES, "GEMMA-4-31b-it-qat-w4a16-ct")
    assert found is not None
    assert (found.variant, found.name) == ("31B", "qat-w4a16")
    assert lookup.checkpoint_by_id(PROFILES, "31B") is None


# Folders


def write_config(folder: Path, **changes: object) -> Path:
    config = {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "model_type": "gemma4",
        "text_config": {"hidden_size": 5376, "num_hidden_layers": 60},
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", PROFILES.variants)
def test_identify_folder(tmp_path: Path, name: str) -> None:
    row = PROFILES.variants[name]
    folder = write_config(
        tmp_path,
        architectures=[row.architecture],
        model_type=row.model_type,
        text_config={
            "hidden_size": row.hidden_size,
            "num_hidden_layers": row.layers.sliding + row.layers.full,
        },
    )
    assert lookup.identify_folder(folder, PROFILES) == name


@pytest.mark.parametrize(
    "changes",
    [
        {"text_config": {"hidden_size": 5376, "num_hidden_layers": 59}},
        {"text_config": None},
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
        {"architectures": ["Gemma4UnifiedForConditionalGeneration"]},
        {"architectures": []},
        {"architectures": "Gemma4ForConditionalGeneration"},
    ],
)
def test_other_folders_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="is not a Gemma 4 model") as caught:
        lookup.identify_folder(write_config(tmp_path, **changes), PROFILES)
    assert "hidden_size" in str(caught.value.found)


@pytest.mark.parametrize(
    "changes",
    [
        {"architectures": ["Gemma4AssistantForCausalLM"]},
        {"architectures": None, "model_type": "gemma4_unified_assistant"},
    ],
)
def test_draft_folders_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="holds an MTP draft"):
        lookup.identify_folder(write_config(tmp_path, **changes), PROFILES)


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (lookup.MAX_CONFIG_BYTES + 1)]
)
def test_unreadable_folders(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UsageError, match="cannot read the model's configuration"):
        lookup.identify_folder(tmp_path, PROFILES)


def test_a_list_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UsageError, match="is not a Gemma 4 model"):
        lookup.identify_folder(tmp_path, PROFILES)


# Platforms


@pytest.mark.parametrize(
    ("text", "name"),
    {
        "h200": "H200",
        "A100": "A100-80G",
        "a100_80g": "A100-80G",
        "rtx 4090": "RTX-4090",
        "RTX5090": "RTX-5090",
        "RTX PRO 6000 Blackwell": "RTX-PRO-6000",
        "dgx spark": "GB10",
        "NVIDIA B300 SXM6 AC": "B300",
        "mi-355x": "MI355X",
        "AMD Instinct MI300X OAM": "MI300X",
        "xeon": "Xeon",
        "arc-b": "Arc-B",
    }.items(),
)
def test_platform_name(text: str, name: str) -> None:
    assert lookup.platform_name(PROFILES, text) == name


def test_unknown_platform_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown platform: H300") as caught:
        lookup.platform_name(PROFILES, "H300")
    assert "H200" in caught.value.remedies[0]


def test_a_device_outside_the_memory_range_does_not_match() -> None:
    assert lookup.match_device(PROFILES, "NVIDIA H20", 97871) == "H20"
    assert lookup.match_device(PROFILES, "NVIDIA H20", 143771) is None
    assert lookup.match_device(PROFILES, "NVIDIA H20", None) == "H20"


# Rows


def test_a_cell_for_this_mtp_goes_before_one_for_both() -> None:
    both = lookup.cell(PROFILES, "31B", "H200", "standard", mtp=True)
    assert both is not None
    assert both.mtp is None
    special = both.model_copy(update={"mtp": True, "tp": 4})
    profiles = PROFILES.model_copy(update={"cells": (*PROFILES.cells, special)})
    assert lookup.cell(profiles, "31B", "H200", "standard", mtp=True) == special
    assert lookup.cell(profiles, "31B", "H200", "standard", mtp=False) == both
    assert lookup.cell(profiles, "31B", "L40S", "standard", mtp=False) is None


def references(**wanted: object) -> list[str]:
    defaults = {"vendor": "nvidia", "release": "0.5.16"}
    found = lookup.images(PROFILES, **{**defaults, **wanted})  # type: ignore[arg-type]
    return [image.reference.partition(":")[2] for image in found]


def test_images_are_verified_first_and_plain_tags_before_others() -> None:
    assert references()[0] == "v0.5.16"
    first = references(release="0.5.15", variant="12B")
    assert first[0] == "v0.5.15-cu129", "the only tag of 0.5.15 that was seen"
    assert "v0.5.15" in first


def test_images_fit_the_driver() -> None:
    assert references(cuda_major=12) == ["v0.5.16-cu129", "v0.5.16-cu129-runtime"]
    assert references(release="0.5.20", cuda_major=12) == []


def test_images_fit_the_gpu_and_the_cpu() -> None:
    assert references(vendor="amd", architecture="gfx942")[0] == "v0.5.16-rocm700-mi30x"
    assert references(vendor="amd", architecture="gfx950") == ["v0.5.16-rocm720-mi35x"]
    assert references(vendor="amd", architecture="gfx950", cpu_architecture="aarch64") == []
    assert references(cpu_architecture="aarch64")


def test_development_images_are_never_chosen() -> None:
    for release in PROFILES.releases:
        assert not {"latest", "gemma4", "dev-gemma4"} & set(references(release=release))


def test_images_serve_the_variant() -> None:
    limited = PROFILES.images[0].model_copy(update={"variants": ("E2B",), "release": "0.5.16"})
    profiles = PROFILES.model_copy(update={"images": (limited,)})
    found = lookup.images(profiles, vendor="nvidia", release="0.5.16", variant="12B")
    assert found == ()
    assert lookup.images(profiles, vendor="nvidia", release="0.5.16", variant="E2B")


@pytest.mark.parametrize(
    ("release", "memory", "chunk", "graph", "graph_tp4"),
    [
        ("0.5.16", 16000, 2048, 8, 8),
        ("0.5.16", 24564, 2048, 24, 80),
        ("0.5.19", 32607, 2048, 24, 80),
        ("0.5.20", 32607, 4096, 48, 160),
        ("0.5.23", 24564, 4096, 48, 160),
        ("0.5.16", 46068, 4096, 32, 160),
        ("0.5.16", 81559, 8192, 256, 512),
        ("0.5.23", 143771, 8192, 256, 512),
        ("0.5.16", 163840, 16384, 512, 512),
        ("0.5.23", 183359, 16384, 512, 512),
    ],
)
def test_auto_size(release: str, memory: int, chunk: int, graph: int, graph_tp4: int) -> None:
    row = lookup.auto_size(PROFILES, release, memory)
    assert row is not None
    assert (row.chunked_prefill, row.graph_max_bs, row.graph_max_bs_tp4) == (
        chunk,
        graph,
        graph_tp4,
    )


def test_auto_size_without_rows() -> None:
    profiles = PROFILES.model_copy(update={"auto_sizes": ()})
    assert lookup.auto_size(profiles, "0.5.16", 81559) is None


def test_release_name() -> None:
    assert lookup.release_name(PROFILES, "v0.5.16") == "0.5.16"
    with pytest.raises(UsageError, match=r"unknown SGLang release: 0\.5\.99"):
        lookup.release_name(PROFILES, "0.5.99")
