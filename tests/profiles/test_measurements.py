"""The published figures: complete, plausible, and in agreement with the profile table."""

from __future__ import annotations

import pytest

from gemma4ctl.profiles.load import load
from gemma4ctl.profiles.lookup import cell
from gemma4ctl.profiles.measurements import MEASUREMENTS_FILE, Speed, load_measurements
from gemma4ctl.profiles.reading import parse, parse_trusted

PROFILES = load()
MEASUREMENTS = load_measurements()
PAGE = [row for row in MEASUREMENTS.speed if row.output_tok_s is not None]


def ids(row: Speed) -> str:
    return f"{row.variant}-{row.platform}-{row.line}-{row.workload}-{row.input}-{row.concurrency}"


each_speed = pytest.mark.parametrize("row", MEASUREMENTS.speed, ids=ids)


def test_file_passes_the_strict_reader() -> None:
    text = MEASUREMENTS_FILE.read_text(encoding="utf-8")
    assert parse(text, MEASUREMENTS_FILE) == parse_trusted(text)


def test_runs_are_told_apart() -> None:
    keys = [(ids(row), row.mtp, row.release) for row in MEASUREMENTS.speed]
    assert len(keys) == len(set(keys))


@each_speed
def test_names_exist(row: Speed) -> None:
    assert row.variant in PROFILES.variants
    assert row.platform in PROFILES.platforms
    assert row.source in PROFILES.sources
    assert row.release is None or row.release in PROFILES.releases


@each_speed
def test_runs_used_the_published_tp(row: Speed) -> None:
    published = cell(PROFILES, row.variant, row.platform, row.line, row.mtp)
    assert published is not None
    assert row.tp == published.tp


@each_speed
def test_rates_and_times_agree(row: Speed) -> None:
    """No run can be faster than its concurrency divided by the time of an output token."""
    ceiling = row.concurrency * 1000 / row.tpot_ms
    if row.output_tok_s is not None:
        assert row.output_tok_s <= ceiling * 1.02
        assert row.total_tok_s is not None
        assert row.total_tok_s > row.output_tok_s
    else:
        assert row.tok_s_per_gpu is not None
        assert row.tok_s_per_gpu * row.tp <= ceiling * 9.2, "9 tokens in and out for each one out"


def test_the_page_has_four_runs_for_each_nvidia_setting() -> None:
    settings = {(row.variant, row.platform) for row in PAGE}
    for variant, platform in settings:
        runs = [row for row in PAGE if (row.variant, row.platform) == (variant, platform)]
        assert len(runs) == (2 if platform == "MI300X" else 4)
    assert len(settings) == 8


@pytest.mark.parametrize(
    ("variant", "platform", "tok_s", "tpot"),
    [("E2B", "H200", 242.03, 3.99), ("31B", "MI300X", 40.75, 24.13), ("12B", "B200", 138.55, 7.08)],
)
def test_page_figures(variant: str, platform: str, tok_s: float, tpot: float) -> None:
    row = next(
        row
        for row in PAGE
        if (row.variant, row.platform, row.input, row.concurrency) == (variant, platform, "text", 1)
    )
    assert (row.output_tok_s, row.tpot_ms) == (tok_s, tpot)


@pytest.mark.parametrize(
    "row", MEASUREMENTS.accuracy, ids=lambda row: f"{row.variant}-{row.metric}"
)
def test_accuracy(row) -> None:  # type: ignore[no-untyped-def]
    assert 0 < row.value < 1
    assert row.source in PROFILES.sources
    assert row.platform in PROFILES.platforms
    modalities = PROFILES.variants[row.variant].modalities
    assert "audio" in modalities or not row.metric.endswith("_wer")


def test_every_variant_has_the_three_benchmarks() -> None:
    for variant in PROFILES.variants:
        metrics = {row.metric for row in MEASUREMENTS.accuracy if row.variant == variant}
        assert {"mmlu", "gsm8k", "mmmu"} <= metrics
