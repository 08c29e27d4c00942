"""The committed tables: what must hold for each, and what is known of single releases."""

from __future__ import annotations

import json
import re

import pytest

from gemma4ctl.flags import history
from gemma4ctl.flags.table import TABLES, FlagTable, available, from_text, load, to_text
from gemma4ctl.flags.types import READERS
from tests.effort import calls

RELEASES = [
    "0.5.11",
    "0.5.12",
    "0.5.12.post1",
    "0.5.13",
    "0.5.13.post1",
    "0.5.14",
    "0.5.15",
    "0.5.15.post1",
    "0.5.16",
    "0.5.17",
    "0.5.18",
    "0.5.19",
    "0.5.20",
    "0.5.21",
    "0.5.22",
    "0.5.23",
]
STABLE = [
    "--model-path",
    "--model",
    "--tp-size",
    "--tensor-parallel-size",
    "--dp-size",
    "--ep-size",
    "--pp-size",
    "--mem-fraction-static",
    "--context-length",
    "--max-running-requests",
    "--chunked-prefill-size",
    "--speculative-algorithm",
    "--speculative-draft-model-path",
    "--speculative-num-steps",
    "--speculative-num-draft-tokens",
    "--speculative-eagle-topk",
    "--attention-backend",
    "--host",
    "--port",
    "--scheduler-recv-interval",
    "--enable-multimodal",
    "--api-key",
    "--served-model-name",
    "--reasoning-parser",
    "--tool-call-parser",
    "--page-size",
    "--grammar-backend",
    "--load-format",
]

every_table = pytest.mark.parametrize("table", [load(r) for r in RELEASES], ids=RELEASES)


def since(release: str) -> list[str]:
    return RELEASES[RELEASES.index(release) :]


def before(release: str) -> list[str]:
    return RELEASES[: RELEASES.index(release)]


def test_every_release_has_a_table_in_version_order() -> None:
    assert available() == tuple(RELEASES)


@every_table
def test_table_is_in_the_form_the_generator_writes(table: FlagTable) -> None:
    text = (TABLES / f"{table.release}.json").read_text()
    assert to_text(from_text(text)) == text
    assert len(text) < 60_000
    assert len(text.splitlines()) == len(table.flags) + 2
    assert "help" not in json.loads(text)["flags"][0]


@every_table
def test_table_names_its_wheel(table: FlagTable) -> None:
    assert table.exact
    assert table.wheel is not None and table.wheel.startswith(f"sglang-{table.release}-")
    assert table.sha256 is not None and re.fullmatch(r"[0-9a-f]{64}", table.sha256)


@every_table
def test_options_are_unique_and_sorted(table: FlagTable) -> None:
    options = [option for flag in table.flags for option in flag.options]
    assert len(options) == len(set(options))
    assert all(option.startswith("--") for option in options)
    assert [flag.options for flag in table.flags] == sorted(flag.options for flag in table.flags)


@every_table
def test_every_type_is_read_and_every_default_is_of_it(table: FlagTable) -> None:
    for flag in table.flags:
        assert flag.type in READERS, flag
        if flag.type == "int" and flag.nargs is None and flag.default is not None:
            assert isinstance(flag.default, int), flag


@every_table
def test_only_the_model_is_required(table: FlagTable) -> None:
    assert [flag.options for flag in table.flags if flag.required] == [("--model-path", "--model")]


@every_table
def test_stable_flags_are_there_and_not_deprecated(table: FlagTable) -> None:
    for option in STABLE:
        flag = table.find(option)
        assert flag is not None and not flag.deprecated, option


@every_table
def test_gemma4_parsers_are_choices(table: FlagTable) -> None:
    for option in ("--reasoning-parser", "--tool-call-parser"):
        flag = table.find(option)
        assert flag is not None and flag.choices is not None
        assert "gemma4" in flag.choices
        assert ("auto" in flag.choices) == (table.release != "0.5.11")


@every_table
def test_deprecated_flags_name_flags_that_exist(table: FlagTable) -> None:
    for flag in table.flags:
        if flag.replacement is not None and "{" not in flag.replacement:
            assert table.find(re.split(r"[= ]", flag.replacement)[0]), flag


@every_table
def test_short_forms_work_only_as_prefixes(table: FlagTable) -> None:
    assert table.match("--tp").kind == "prefix"
    assert table.match("--tp").option == "--tp-size"
    assert table.match("--pp").kind == "ambiguous"
    assert "--pp-size" in table.match("--pp").candidates


@every_table
def test_backends_that_gemma4_can_use_are_choices(table: FlagTable) -> None:
    flag = table.find("--attention-backend")
    assert flag is not None and flag.choices is not None
    assert {"triton", "trtllm_mha", "fa4"} <= set(flag.choices)


@pytest.mark.parametrize("option", ["--cuda-graph-max-bs", "--cuda-graph-bs"])
def test_graph_batch_sizes_were_renamed(option: str) -> None:
    for release in before("0.5.14"):
        flag = load(release).find(option)
        assert flag is not None and not flag.deprecated, release
        assert load(release).find(f"{option}-decode") is None, release
    for release in RELEASES[5:12]:  # 0.5.14 to 0.5.19
        flag = load(release).find(option)
        assert flag is not None and flag.deprecated, release
        assert flag.replacement == f"{option}-decode"
    for release in since("0.5.20"):
        match = load(release).match(option)
        assert match.kind == "ambiguous", release
        assert set(match.candidates) == {f"{option}-decode", f"{option}-prefill"}


def test_speculative_algorithm_has_choices_only_in_the_first_release() -> None:
    with_choices = [r for r in RELEASES if load(r).find("--speculative-algorithm").choices]  # type: ignore[union-attr]
    assert with_choices == ["0.5.11"]


def test_positional_model_came_with_0_5_16() -> None:
    assert [r for r in RELEASES if load(r).positional_model] == since("0.5.16")


def test_disabling_graphs_is_deprecated_from_0_5_14() -> None:
    deprecated = [r for r in RELEASES if load(r).find("--disable-cuda-graph").deprecated]  # type: ignore[union-attr]
    assert deprecated == since("0.5.14")


@pytest.mark.parametrize(
    ("option", "release"),
    [
        ("--cuda-graph-max-bs-decode", "0.5.14"),
        ("--cuda-graph-config", "0.5.14"),
        ("--enable-unified-memory", "0.5.15"),
        ("--mm-feature-transport", "0.5.16"),
        ("--language-model-only", "0.5.18"),
    ],
)
def test_flags_added_later(option: str, release: str) -> None:
    assert [r for r in RELEASES if load(r).find(option)] == since(release)


@pytest.mark.parametrize(
    ("option", "choice", "releases"),
    [
        ("--attention-backend", "cutlass_mla", before("0.5.20")),
        ("--attention-backend", "hpc_ops", since("0.5.17")),
        ("--kv-cache-dtype", "nvfp4", since("0.5.16")),
        ("--quantization", "marlin", before("0.5.20")),
        ("--load-format", "presharded", since("0.5.17")),
        ("--grammar-backend", "none", RELEASES),
    ],
)
def test_choices_by_release(option: str, choice: str, releases: list[str]) -> None:
    assert [r for r in RELEASES if choice in (load(r).find(option).choices or ())] == releases  # type: ignore[union-attr]


def test_sliding_window_share_has_a_default_until_0_5_19() -> None:
    with_default = [r for r in RELEASES if load(r).find("--swa-full-tokens-ratio").default == 0.8]  # type: ignore[union-attr]
    assert with_default == before("0.5.20")


def test_history_is_that_of_the_tables() -> None:
    tables = [load(release) for release in RELEASES]
    assert history.FILE.read_text() == history.to_text(history.spans_of(tables))


def test_loading_a_table_is_little_work() -> None:
    def loading() -> None:
        load.cache_clear()
        load("0.5.23")

    assert calls(loading) < 40 * len(load("0.5.23").flags)  # 22 for each
