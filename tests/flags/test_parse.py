"""Judging command lines: every kind of problem, and the same verdict as argparse."""

from __future__ import annotations

import argparse
import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4ctl.flags.parse import Entry, Given, Parsed, Problem, Words, parse, split
from gemma4ctl.flags.table import Flag, FlagTable, load
from gemma4ctl.flags.types import read

MODEL = ["--model-path", "m"]


def judge(line: str, release: str = "0.5.16", entry: Entry = "serve") -> Parsed:
    return parse(line.split(), load(release), entry)


def only_problem(line: str, release: str = "0.5.16", entry: Entry = "serve") -> Problem:
    (problem,) = judge(line, release, entry).problems
    return problem


def test_a_good_command() -> None:
    parsed = judge("--model-path m --tp-size 2 --mem-fraction-static=0.85 --enable-metrics")
    assert parsed.accepted
    assert parsed.problems == []
    assert parsed.values == {
        "model_path": "m",
        "tp_size": 2,
        "mem_fraction_static": 0.85,
        "enable_metrics": True,
    }
    assert parsed.given[1:3] == [
        Given(2, "--tp-size", "--tp-size"),
        Given(4, "--mem-fraction-static", "--mem-fraction-static"),
    ]


def test_the_model_may_come_first_from_0_5_16() -> None:
    assert judge("m --tp-size 2").values == {"model_path": "m", "tp_size": 2}
    assert judge("m").problems == []
    problem = only_problem("m", "0.5.15")
    assert (problem.code, problem.position, problem.refused) == ("unexpected-value", 0, True)
    assert problem.fix == ("--model-path", "m")


def test_launch_server_takes_no_positional_model() -> None:
    assert [p.code for p in judge("m", entry="module").problems] == [
        "unexpected-value",
        "missing-model",
    ]


def test_model_type_is_read_by_serve_alone() -> None:
    assert judge("--model-path --model-type llm m").values == {
        "model_path": "m",
        "model_type": "llm",
    }
    assert judge("m --model-type=llm").accepted
    assert only_problem("m --model-type lllm").code == "bad-choice"
    assert only_problem("m --model-type").code == "missing-value"
    assert [p.code for p in judge("--model-path m --model-type llm", entry="module").problems] == [
        "unknown-flag"
    ]


def test_the_last_model_type_counts() -> None:
    parsed = judge("m --model-type x --model-type llm")
    assert parsed.accepted
    assert parsed.values["model_type"] == "llm"
    assert [p.code for p in parsed.problems] == ["duplicate-flag"]


def test_unknown_flag_names_the_nearest_and_takes_the_words_after_it() -> None:
    problem = only_problem("m --tp-sise 2")
    assert (problem.code, problem.position) == ("unknown-flag", 1)
    assert problem.fix == ("--tp-size",)
    assert "Did you mean --tp-size?" in problem.message


def test_a_flag_like_no_other_has_no_fix() -> None:
    problem = only_problem("m --qqqqqqqqqqqqq")
    assert (problem.code, problem.fix) == ("unknown-flag", None)


def test_a_fix_keeps_an_attached_value() -> None:
    assert only_problem("m --tp-sise=2").fix == ("--tp-size=2",)


def test_ambiguous_prefix_names_what_it_could_mean() -> None:
    problem = only_problem("m --pp 2")
    assert (problem.code, problem.fix, problem.refused) == ("ambiguous-prefix", None, True)
    assert "--pp-size" in problem.message


def test_abbreviation_works_but_is_named() -> None:
    parsed = judge("m --tp 2")
    assert parsed.accepted
    assert parsed.values["tp_size"] == 2
    (problem,) = parsed.problems
    assert (problem.code, problem.fix) == ("abbreviated-flag", ("--tp-size",))


def test_serve_needs_the_model_option_in_full() -> None:
    parsed = judge("--model-pat m")
    assert not parsed.accepted
    assert [(p.code, p.fix) for p in parsed.problems] == [
        ("abbreviated-flag", ("--model-path",)),
        ("missing-model", ("--model-path",)),
    ]
    assert judge("--model-pat m", entry="module").accepted


def test_bad_choice_is_at_its_value() -> None:
    problem = only_problem("m --attention-backend tritton")
    assert (problem.code, problem.position, problem.fix) == ("bad-choice", 2, ("triton",))
    assert "10 more" in problem.message
    assert only_problem("m --attention-backend=tritton").fix == ("--attention-backend=triton",)
    assert only_problem("m --attention-backend zzz").fix is None


def test_a_choice_that_could_be_several_is_not_corrected() -> None:
    problem = only_problem("m --kv-cache-dtype fp8")
    assert "did you mean fp8_e5m2 or fp8_e4m3?" in problem.message
    assert problem.fix is None


@pytest.mark.parametrize(
    ("words", "position", "said"),
    [
        ("--tp-size two", 2, "'two' is no integer value for --tp-size."),
        ("--cuda-graph-bs-decode 1 2 x", 4, "no integer"),
        ("--mem-fraction-static 80%", 2, "no number"),
        ("--json-model-override-args= --limit-mm-data-per-request {", 3, "no JSON"),
        ("--max-total-tokens 4K", 2, "no integer"),
    ],
)
def test_bad_type_is_at_its_value(words: str, position: int, said: str) -> None:
    problem = only_problem(f"m {words}")
    assert (problem.code, problem.position, problem.refused) == ("bad-type", position, True)
    assert said in problem.message


@pytest.mark.parametrize("words", ["--port", "--port --enable-metrics", "--cuda-graph-bs-decode"])
def test_missing_value(words: str) -> None:
    assert only_problem(f"m {words}").code == "missing-value"


def test_a_flag_without_value_takes_none() -> None:
    problem = only_problem("m --enable-metrics=yes")
    assert (problem.code, problem.fix) == ("unexpected-value", ("--enable-metrics",))
    assert only_problem("m --enable-metrics yes").position == 2


def test_words_after_two_dashes_belong_to_nothing() -> None:
    assert only_problem("m -- --tp-size 2").code == "unexpected-value"


def test_negative_numbers_and_words_with_spaces_are_values() -> None:
    parsed = parse(
        ["m", "--chunked-prefill-size", "-1", "--served-model-name", "- a"], load("0.5.16")
    )
    assert parsed.problems == []
    assert parsed.values["chunked_prefill_size"] == -1


def test_deprecated_flag_gets_its_new_spelling() -> None:
    problem = only_problem("m --cuda-graph-max-bs 8")
    assert (problem.code, problem.refused) == ("deprecated-flag", False)
    assert problem.fix == ("--cuda-graph-max-bs-decode",)


def test_a_switch_is_replaced_by_flags_with_values() -> None:
    assert only_problem("m --disable-cuda-graph").fix == (
        "--cuda-graph-backend-decode=disabled",
        "--cuda-graph-backend-prefill=disabled",
    )


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("m --enable-dp-attention", "0.5.23"),  # the replacement has a placeholder
        ("m --monokernel-backend amd", "0.5.23"),  # the replacement takes no value
        ("m --prefill-round-robin-balance", "0.5.16"),  # there is no replacement
        ("m --dsa-prefill-cp-mode in-seq-split", "0.5.16"),  # the values are called otherwise
        ("m --enable-flashinfer-allreduce-fusion", "0.5.16"),  # the replacement needs a value
    ],
)
def test_deprecated_flags_that_no_single_word_replaces(line: str, release: str) -> None:
    problem = only_problem(line, release)
    assert (problem.code, problem.fix) == ("deprecated-flag", None)


def test_removed_flag_says_since_when_and_what_instead() -> None:
    problem = only_problem("m --cuda-graph-max-bs=8", "0.5.23")
    assert (problem.code, problem.refused) == ("removed-flag", True)
    assert "after 0.5.19" in problem.message
    assert problem.fix == ("--cuda-graph-max-bs-decode=8",)


def test_a_flag_of_a_later_release_says_so() -> None:
    problem = only_problem("--model-path m --cuda-graph-max-bs-decode 8", "0.5.13")
    assert problem.code == "removed-flag"
    assert "was added in SGLang 0.5.14" in problem.message
    assert problem.fix == ("--cuda-graph-max-bs",)


def test_a_flag_that_sglang_only_knows_to_refuse_it() -> None:
    problem = only_problem("m --enable-expert-distribution-metrics", "0.5.19")
    assert (problem.code, problem.refused) == ("removed-flag", True)
    assert "--expert-balancedness-report-mode" in problem.message


def test_duplicates_are_found_by_what_they_set() -> None:
    parsed = judge("m --tp-size 2 --tensor-parallel-size 4")
    assert parsed.values["tp_size"] == 4
    (problem,) = parsed.problems
    assert (problem.code, problem.position, problem.refused) == ("duplicate-flag", 3, False)


def test_missing_model_is_at_the_end() -> None:
    problem = only_problem("--tp-size 2")
    assert (problem.code, problem.position) == ("missing-model", 2)
    assert judge("--help").accepted
    assert not judge("--config f.yaml").accepted
    assert judge("--config f.yaml", entry="module").accepted


def test_a_command_of_many_words_is_judged_in_linear_time() -> None:
    parsed = parse(["m", *["--model-type=llm"] * 20_000, *["x"] * 20_000], load("0.5.16"))
    assert len(parsed.problems) == 19_999 + 20_000


def test_long_words_are_cut_in_messages() -> None:
    problem = parse(["m", "--port", "9" * 5_000 + "x"], load("0.5.16")).problems[0]
    assert len(problem.message) < 200


def test_all_problems_are_reported_in_order() -> None:
    codes = [p.code for p in judge("m --pp 2 --port x --foo-bar-baz --tp 2 --host").problems]
    assert codes == [
        "ambiguous-prefix",
        "bad-type",
        "unknown-flag",
        "abbreviated-flag",
        "missing-value",
    ]


ARITIES = FlagTable(
    release="1",
    flags=(
        Flag(("--add",), "add", action="append", type="int"),
        Flag(("--model-path",), "model_path", required=True),
        Flag(("--off",), "on", action="store_false", nargs=0),
        Flag(("--old",), "old", action="ignore", nargs=0, deprecated=True),
        Flag(("--pair",), "pair", nargs=2),
        Flag(("--perhaps",), "perhaps", nargs="?", const="yes"),
        Flag(("--some",), "some", nargs="*", type="int"),
        Flag(("--swap", "--no-swap"), "swap", action="boolean_optional", nargs=0),
        Flag(("--third",), "third", action="store_const", nargs=0, const=3),
    ),
)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("--add 1 --add 2", {"add": [1, 2]}),
        ("--off", {"on": False}),
        ("--old", {}),
        ("--pair a b", {"pair": "a"}),
        ("--perhaps", {"perhaps": "yes"}),
        ("--perhaps no", {"perhaps": "no"}),
        ("--some", {"some": []}),
        ("--some 1 2", {"some": [1, 2]}),
        ("--swap", {"swap": True}),
        ("--no-sw", {"swap": False}),
        ("--third", {"third": 3}),
    ],
)
def test_values_of_every_action(line: str, values: dict[str, object]) -> None:
    parsed = parse([*MODEL, *line.split()], ARITIES)
    assert parsed.accepted
    assert parsed.values == {"model_path": "m", **values}


def test_split_keeps_every_word_in_order() -> None:
    argv = [
        "m",
        "--tp",
        "2",
        "--lora-paths",
        "a",
        "b",
        "--foo",
        "1",
        "--host=h",
        "--disable-radix-cache",
        "x",
        "--",
        "y",
    ]
    groups = split(argv, load("0.5.16"))
    assert [word for group in groups for word in group.words] == argv
    assert groups == [
        Words("model_path", "--model-path", ("m",)),
        Words("tp_size", "--tp-size", ("--tp", "2")),
        Words("lora_paths", "--lora-paths", ("--lora-paths", "a", "b")),
        Words(None, "--foo", ("--foo", "1")),
        Words("host", "--host", ("--host=h",)),
        Words("disable_radix_cache", "--disable-radix-cache", ("--disable-radix-cache",)),
        Words(None, "", ("x",)),
        Words(None, "", ("--", "y")),
    ]


def test_split_gives_two_spellings_the_same_dest() -> None:
    table = load("0.5.16")
    dests = {split(words, table)[0].dest for words in (["--tp", "2"], ["--tensor-parallel-size=2"])}
    assert dests == {"tp_size"}


# --- the same verdict as argparse

TABLE = load("0.5.16")


def argparse_of(table: FlagTable) -> argparse.ArgumentParser:
    """A parser with the option strings, arities and choices of ``table``."""
    parser = argparse.ArgumentParser()
    for flag in table.flags:
        options = [option for option in flag.options if not option.startswith("--no-")]
        if flag.action == "boolean_optional":
            parser.add_argument(*options, action=argparse.BooleanOptionalAction)
        elif flag.nargs == 0:
            parser.add_argument(*flag.options, dest=flag.dest, action="store_true")
        else:
            parser.add_argument(
                *flag.options,
                dest=flag.dest,
                type=lambda text, flag=flag: read(flag, text),  # type: ignore[misc]
                nargs=flag.nargs,
                choices=flag.choices,
                required=flag.required,
            )
    return parser


ORACLE = argparse_of(TABLE)
OPTIONS = st.sampled_from([option for flag in TABLE.flags for option in flag.options])
PREFIXES = st.builds(lambda option, n: option[: max(n, 2)], OPTIONS, st.integers(2, 20))
ATTACHED = st.builds(lambda option, value: f"{option}={value}", OPTIONS, st.text(max_size=3))
VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "-.5",
        "x",
        "",
        "-",
        "--",
        "a b",
        "-x",
        "-x y",
        "triton",
        "0.5",
        "{}",
        "--x y",
        "4k",
    ]
)
WORDS = st.one_of(OPTIONS, VALUES, PREFIXES, ATTACHED, st.text(max_size=4))


def oracle_accepts(argv: list[str]) -> bool:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            ORACLE.parse_args(argv)
    except SystemExit:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_verdict_is_that_of_argparse(words: list[str]) -> None:
    argv = [*MODEL, *words]
    if any(TABLE.match(w.partition("=")[0]).option in ("--help", "-h", "--config") for w in words):
        return  # --help ends the parse, --config is a file
    if any(w.startswith("-h") for w in words):
        return
    assert parse(argv, TABLE, "module").accepted == oracle_accepts(argv)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=8), st.sampled_from(["0.5.11", "0.5.16", "0.5.23"]))
def test_any_command_is_judged_and_split_without_loss(words: list[str], release: str) -> None:
    table = load(release)
    for problem in parse(words, table).problems:
        assert 0 <= problem.position <= len(words)
        assert problem.message[-1] in ".?"
    assert [word for group in split(words, table) for word in group.words] == words
