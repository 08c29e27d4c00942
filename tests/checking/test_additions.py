"""Flags that a launch lacks, added to files of every kind where the file takes them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from gemma4ctl.checking.additions import ADDED
from gemma4ctl.checking.readers import read

from .test_fix_files import FILES, settled

LACKS = ("sglang", "serve", "--model-path", "google/gemma-4-31B-it", "--port", "30000")
AUDIO = ADDED["audio-ends-server"]
SERVE = " ".join(LACKS)


def codes(name: str, text: str) -> list[str]:
    return [finding.code for finding in settled(name, text).findings]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_limit_on_audio_is_added_at_the_end(name: str, newline: str) -> None:
    text = FILES[name](LACKS).replace("\n", newline)
    after = settled(name, text)
    assert (after.fixed, after.findings) == (1, ())
    (before,), (now,) = read(Path(name), text), read(Path(name), after.text)
    assert now.argv == (*before.argv, *AUDIO)
    assert after.text.startswith(text[: text.index("30000")])
    assert after.text.endswith(text[text.index("30000") + 7 :])
    assert after.text.count(newline) - text.count(newline) in (0, 2)
    assert after.text.replace(newline, "").count("\n") == 0


def test_the_line_goes_on_as_it_did() -> None:
    text = f"{SERVE} > log 2>&1 &\n"
    added = shlex.join(AUDIO)
    assert settled("run.sh", text).text == f"{SERVE} {added} > log 2>&1 &\n"


def test_it_is_added_before_a_flag_whose_value_the_file_does_not_show() -> None:
    model = " ".join(LACKS[:4])
    after = settled("run.sh", f"{model} --port $PORT\n")
    assert after.text == f"{model} {shlex.join(AUDIO)} --port $PORT\n"


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("run.sh", 'bash -c "{}"\n'.format),
        ("run.sh", "bash -c '{}'\n".format),
        ("run.sh", "ARGS='{}'\n$ARGS\n".format),
        ("Dockerfile", 'FROM lmsysorg/sglang:v0.5.16\nCMD ["sh", "-c", "{}"]\n'.format),
        ("c.yaml", 'services:\n  a:\n    image: lmsysorg/sglang\n    command: "{}"\n'.format),
        ("c.yaml", "services:\n  a:\n    image: lmsysorg/sglang\n    command: '{}'\n".format),
    ],
)
def test_no_fix_is_offered_where_its_quotes_would_end_others(
    name: str, wrap: Callable[[str], str]
) -> None:
    text = wrap(SERVE)
    after = settled(name, text)
    assert [(found.code, found.fix) for found in after.findings] == [("audio-ends-server", None)]
    assert (after.text, after.fixed) == (text, 0)


def test_one_that_cannot_be_fixed_leaves_the_others_theirs() -> None:
    nested = f'bash -c "{SERVE}"\n'
    after = settled("run.sh", f"{nested}{SERVE}\n{SERVE} --tpp-size 2\n")
    added = shlex.join(AUDIO)
    assert after.text == f"{nested}{SERVE} {added}\n{SERVE} --tp-size 2 {added}\n"
    assert [found.code for found in after.findings] == ["audio-ends-server"]


def test_words_that_another_launch_shares_get_none() -> None:
    both = "".join(
        f'sglang serve --model-path google/gemma-4-{variant}-it "${{ARGS[@]}}"\n'
        for variant in ("31B", "E2B")  # E2B takes audio
    )
    text = f"ARGS=(--port 30000)\n{both}"
    after = settled("run.sh", text)
    assert after.text == text
    assert [found.code for found in after.findings] == ["audio-ends-server"]


def test_an_addition_that_breaks_the_file_costs_no_other_fix() -> None:
    service = '  {}:\n    image: lmsysorg/sglang\n    command: "{}"\n'
    text = "services:\n" + service.format("a", SERVE) + service.format("b", f"{SERVE} --tpp-size 2")
    after = settled("c.yaml", text)
    assert after.text == text.replace("--tpp-size", "--tp-size")
    assert [found.code for found in after.findings] == ["audio-ends-server"] * 2


def test_a_value_that_lacks_it_is_left_to_its_author() -> None:
    text = f"{SERVE} --limit-mm-data-per-request '{{\"image\": 2}}'\n"
    after = settled("run.sh", text)
    assert (after.text, [found.fix for found in after.findings]) == (text, [None])
