"""Looking flags up in a table."""

from __future__ import annotations

import pytest

from gemma4ctl.flags.table import Flag, FlagTable, destination, from_text, load, to_text

TABLE = FlagTable(
    release="9.9",
    flags=(
        Flag(("--model-path", "--model"), "model_path", required=True),
        Flag(("--overlap", "--no-overlap"), "overlap", action="boolean_optional", nargs=0),
        Flag(("--page-bytes",), "page_size", deprecated=True, replacement="--page-size"),
        Flag(("--page-size",), "page_size", type="int"),
        Flag(("--tensor-parallel-size", "--tp-size"), "tp_size", type="int"),
    ),
)


def test_find_wants_the_exact_option() -> None:
    assert TABLE.find("--page-size") is TABLE.flags[3]
    assert TABLE.find("--page-siz") is None
    assert TABLE.find("--help") is not None


@pytest.mark.parametrize(
    ("option", "kind", "full"),
    [
        ("--tp-size", "exact", "--tp-size"),
        ("--tp", "prefix", "--tp-size"),
        ("--tensor", "prefix", "--tensor-parallel-size"),
        ("--page", "ambiguous", None),
        ("--no", "prefix", "--no-overlap"),
        ("--he", "prefix", "--help"),
        ("--zzz", "unknown", None),
        ("-t", "unknown", None),
    ],
)
def test_match_is_that_of_argparse(option: str, kind: str, full: str | None) -> None:
    match = TABLE.match(option)
    assert (match.kind, match.option) == (kind, full)
    assert (match.flag is None) == (full is None)


def test_match_names_what_an_option_could_mean() -> None:
    assert TABLE.match("--page").candidates == ("--page-bytes", "--page-size")
    assert TABLE.match("--tp-sise").nearest == "--tp-size"
    assert TABLE.match("--qqqqqqqqqq").nearest is None


@pytest.mark.parametrize(
    ("option", "canonical"),
    [
        ("--tp", "--tp-size"),
        ("--tensor-parallel-size", "--tp-size"),
        ("--model", "--model-path"),
        ("--page-bytes", "--page-bytes"),
        ("--no-overlap", "--no-overlap"),
        ("--overl", "--overlap"),
        ("--unknown", "--unknown"),
    ],
)
def test_canonical_is_the_full_preferred_option(option: str, canonical: str) -> None:
    assert TABLE.canonical(option) == canonical


def test_the_flag_of_a_dest_is_not_a_deprecated_alias() -> None:
    flag = TABLE.flag_of("page_size")
    assert flag is not None and flag.options == ("--page-size",)
    assert TABLE.flag_of("nothing") is None


def test_destination_comes_from_the_first_long_option() -> None:
    assert destination(("-p", "--page-size", "--page")) == "page_size"
    assert destination(("-p",)) == "p"


def test_a_table_survives_its_file() -> None:
    assert from_text(to_text(TABLE)) == TABLE


def test_unusual_attributes_survive_the_file() -> None:
    flag = Flag(
        ("--x", "-x"),
        "y",
        action="store_const",
        type="int",
        nargs=None,
        choices=(1, None),
        default=[1],
        const=True,
        deprecated=True,
        replacement="--z",
        error="gone",
        keys={"a": ("b", "c")},
    )
    table = FlagTable(release="1", flags=(flag,), positional_model=False, wheel="w", sha256="s")
    assert from_text(to_text(table)) == table


@pytest.mark.parametrize("release", ["0.5.24", "0.6.0.dev3", "../tables/0.5.16", ""])
def test_an_unknown_release_gets_the_newest_table(release: str) -> None:
    table = load(release)
    assert (table.release, table.exact) == ("0.5.23", False)
    assert table.flags == load("0.5.23").flags
    assert load("0.5.23").exact
