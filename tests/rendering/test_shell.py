from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import command
from gemma4ctl.rendering.docker_run import docker_argv, docker_shell
from gemma4ctl.rendering.shell import join_lines, shell

from .parse_back import from_shell
from .plans import AWKWARD_PATH, HOST, PLANS, decision, make

TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from("'\"`$\\\n\t ;&|<>()*?~#!=-%{}[]é模"),
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    ),
    max_size=30,
)
DUMP = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


def plan_with(path: str, value: str, words: list[str]) -> Plan:
    return make(
        model_path=f"/{path}",
        local=True,
        flags=(decision("variable", value, env="SGLANG_VALUE"),),
        extra=tuple(words),
    )


def run_in_sh(text: str, folder) -> tuple[list[str], dict[str, str]]:
    """What a program called ``sglang`` or ``docker`` gets when ``/bin/sh`` runs ``text``."""
    import json

    for name in ("sglang", "docker"):
        fake = folder / name
        fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{DUMP}" {name} "$@"\n')
        fake.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", text],
        env={"PATH": f"{folder}:/usr/bin:/bin", "PYTHONUTF8": "1"},
        cwd=folder,
        capture_output=True,
        check=True,
    )
    argv, env = json.loads(done.stdout)
    return argv, env


@pytest.mark.parametrize("name", PLANS)
def test_sh_passes_exactly_argv_and_environment(name: str, tmp_path) -> None:
    plan = PLANS[name]
    argv, env = run_in_sh(shell(plan), tmp_path)
    assert argv == command.argv(plan)
    for variable, value in command.environment(plan).items():
        assert env[variable] == value
    assert sorted(os.listdir(tmp_path)) == ["docker", "sglang"]  # nothing was executed


def test_sh_passes_exactly_docker_argv(tmp_path) -> None:
    plan = PLANS["local-awkward-path"]
    argv, _ = run_in_sh(docker_shell(plan, HOST), tmp_path)
    assert argv == docker_argv(plan, HOST)
    assert sorted(os.listdir(tmp_path)) == ["docker", "sglang"]


def test_one_option_a_line_and_environment_first() -> None:
    assert shell(PLANS["b200-extra-args"]).splitlines()[:2] == [
        "sglang serve \\",
        "  --model-path google/gemma-4-12B-it \\",
    ]
    assert "  --chunked-prefill-size -1 \\\n" in shell(PLANS["b200-extra-args"])
    assert shell(PLANS["mi300x-e2b"]).startswith("SGLANG_USE_AITER=0 \\\nROCR_VISIBLE_DEVICES=")


def test_awkward_path_is_one_word() -> None:
    assert AWKWARD_PATH in from_shell(shell(PLANS["local-awkward-path"])).argv


@settings(max_examples=60, deadline=None)
@given(path=TEXT, value=TEXT, words=st.lists(TEXT, max_size=4))
def test_any_text_survives_quoting(path: str, value: str, words: list[str]) -> None:
    plan = plan_with(path, value, words)
    parsed = from_shell(shell(plan))
    assert parsed.argv == command.argv(plan)
    assert parsed.env == command.environment(plan)


@settings(max_examples=25, deadline=None)
@given(words=st.lists(TEXT.filter(lambda text: "\r" not in text), min_size=1, max_size=6))
def test_any_words_survive_sh(words: list[str]) -> None:
    printed = subprocess.run(
        ["/bin/sh", "-c", join_lines([["printf", "%s\\0"], words])],
        capture_output=True,
        check=True,
    ).stdout
    assert printed.decode().split("\0")[:-1] == words


@given(
    flag=st.sampled_from(["--host", "--model-path"]),
    equals=st.booleans(),
    value=st.text(min_size=1).filter(lambda text: not text.startswith("-")),
)
def test_flag_values_are_found_and_replaced(flag: str, equals: bool, value: str) -> None:
    given_words = [f"{flag}={value}"] if equals else [flag, value]
    argv = ["sglang", "serve", "--port", "1", *given_words, "--enable-metrics"]
    assert command.flag_value(argv, flag) == value
    replaced = command.with_flag_value(argv, "new", flag)
    assert command.flag_value(replaced, flag) == "new"
    assert command.flag_value(replaced, "--port") == "1"
    assert len(replaced) == len(argv)


def test_flag_value_is_the_last_one_and_none_without() -> None:
    assert command.flag_value(["--port", "1", "--port=2"], "--port") == "2"
    assert command.flag_value(["--ports", "1", "--port"], "--port") is None


def test_words_of_each_kind_of_value() -> None:
    assert command.words(decision("a", True, "--a")) == ["--a"]
    assert command.words(decision("a", False, "--a")) == []
    assert command.words(decision("a", None, "--a")) == []
    assert command.words(decision("a", 1)) == []
    assert command.words(decision("a", ("x", "y"), "--a")) == ["--a", "x", "y"]
