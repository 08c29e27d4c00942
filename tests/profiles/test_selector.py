"""The published settings, cell by cell: the newest selector and both versions of the page."""

from __future__ import annotations

import pytest

from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.lookup import cell, checkpoint

PROFILES = load()
VARIANTS = ("E2B", "E4B", "12B", "31B", "26B-A4B")

# TP and memory fraction as the newest selector prints them; None: not offered.
SELECTOR: dict[str, tuple[tuple[int, float] | None, ...]] = {
    "H200": ((1, 0.85), (1, 0.85), (1, 0.85), (2, 0.85), (1, 0.85)),
    "B200": ((1, 0.9), (1, 0.9), (1, 0.9), (1, 0.9), (1, 0.75)),
    "B300": ((1, 0.9), (1, 0.9), (1, 0.9), (1, 0.9), (1, 0.9)),
    "MI300X": (None, None, None, (1, 0.80), (1, 0.80)),
    "Arc-B": (None, None, None, (4, 0.80), (4, 0.75)),
    "Xeon": ((1, 0.9), (1, 0.9), None, (4, 0.5), (2, 0.5)),
}
OFFERED = [
    (variant, platform, line, *setting)
    for platform, settings in SELECTOR.items()
    for variant, setting in zip(VARIANTS, settings, strict=True)
    for line in ("standard", "qat")
    if setting
]


@pytest.mark.parametrize(("variant", "platform", "line", "tp", "memory"), OFFERED)
def test_cell_without_mtp(variant: str, platform: str, line: str, tp: int, memory: float) -> None:
    row = cell(PROFILES, variant, platform, line, mtp=False)
    assert row is not None
    assert (row.tp, row.mem_fraction) == (tp, memory)


@pytest.mark.parametrize(("variant", "platform", "line", "tp", "memory"), OFFERED)
def test_cell_with_mtp(variant: str, platform: str, line: str, tp: int, memory: float) -> None:
    row = cell(PROFILES, variant, platform, line, mtp=True)
    if platform == "MI300X":
        assert row is None, "the page offers no MTP on AMD"
        return
    assert row is not None
    expected = 2 if variant == "26B-A4B" and platform != "Xeon" else tp
    assert (row.tp, row.mem_fraction) == (expected, memory)


def test_nothing_is_published_beyond_the_selector_and_the_page_tables() -> None:
    selector = {(variant, platform) for variant, platform, *_ in OFFERED}
    small_on_amd = {(variant, "MI300X") for variant in ("E2B", "E4B")}
    tables = {
        (variant, platform)
        for variant in ("E2B", "E4B", "31B", "26B-A4B")
        for platform in ("MI325X", "MI355X")
    }
    assert {(row.variant, row.platform) for row in PROFILES.cells} == (
        selector | small_on_amd | tables
    )


@pytest.mark.parametrize("platform", ["MI300X", "MI325X", "MI355X"])
@pytest.mark.parametrize("variant", ["E2B", "E4B", "31B", "26B-A4B"])
def test_page_tables_put_amd_at_tp_1(variant: str, platform: str) -> None:
    row = cell(PROFILES, variant, platform, "standard", mtp=False)
    assert row is not None
    assert row.tp == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_b300_runs_images_on_triton(variant: str) -> None:
    row = cell(PROFILES, variant, "B300", "standard", mtp=False)
    assert row is not None
    assert row.attention_backend == "triton"
    assert row.attention_backend_for == ("image",)


@pytest.mark.parametrize("variant", VARIANTS)
def test_b200_backend_and_scheduler_interval(variant: str) -> None:
    row = cell(PROFILES, variant, "B200", "standard", mtp=None)
    assert row is None or row.scheduler_recv_interval == 16
    row = cell(PROFILES, variant, "B200", "standard", mtp=False)
    assert row is not None
    assert row.scheduler_recv_interval == 16
    needs_triton = PROFILES.variants[variant].bidirectional_images
    assert row.attention_backend == ("triton" if needs_triton else None)


@pytest.mark.parametrize(
    ("platform", "flags"),
    [
        ("Xeon", ("--device", "cpu", "--disable-overlap-schedule")),
        ("Arc-B", ("--device", "xpu")),
        ("H200", ()),
        ("MI300X", ()),
    ],
)
def test_device_flags(platform: str, flags: tuple[str, ...]) -> None:
    assert PROFILES.platforms[platform].device_flags == flags


def test_mtp_triple_and_algorithms() -> None:
    mtp = PROFILES.mtp
    assert (mtp.steps, mtp.draft_tokens, mtp.topk) == (5, 6, 1)
    algorithms = {name: row.mtp_algorithm for name, row in PROFILES.platforms.items()}
    assert algorithms.pop("Xeon") == "NGRAM"
    assert set(algorithms.values()) == {"NEXTN"}


@pytest.mark.parametrize("platform", ["H200", "B200", "B300"])
def test_12b_qat_is_broken(platform: str) -> None:
    row = cell(PROFILES, "12B", platform, "qat", mtp=False)
    assert row is not None
    assert row.status == "broken"
    assert checkpoint(PROFILES, "12B", "qat").status == "broken"


@pytest.mark.parametrize("variant", VARIANTS)
def test_parsers_and_qat_repositories(variant: str) -> None:
    row = PROFILES.variants[variant]
    assert (row.reasoning_parser, row.tool_call_parser) == ("gemma4", "gemma4")
    standard, qat = (checkpoint(PROFILES, variant, name) for name in ("bf16", "qat"))
    assert standard.id == f"google/gemma-4-{variant}-it"
    assert qat.id == f"{standard.id}-qat-q4_0-unquantized"
    assert standard.draft == f"{standard.id}-assistant"
    assert qat.draft == f"{qat.id}-assistant"
