"""Fixing real files of every kind: minimal, complete, and nothing more the second time."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.checking.files import Target
from gemma4ctl.checking.judge import Options
from gemma4ctl.checking.readers import read
from gemma4ctl.checking.report import Checked

RELEASE = Options(sglang_version="0.5.16")
START = ("sglang", "serve", "--model-path", "m", "--host", "127.0.0.1")

Words = tuple[str, ...]


def shell(words: Words) -> str:
    return f"#!/bin/sh\n# é 😀\nexec {' '.join(words)}\n"


def continued(words: Words) -> str:
    return "set -e\n" + " \\\n  ".join(words) + "\necho done\n"


def markdown(words: Words) -> str:
    return f"# Title\n\n```bash\n{' '.join(words)}\n```\n\nText.\n"


def compose(words: Words) -> str:
    items = "".join(f"      - {json.dumps(word)}\n" for word in words)
    return f"services:\n  gemma:\n    image: lmsysorg/sglang:v0.5.16\n    command:\n{items}"


def compose_line(words: Words) -> str:
    line = " ".join(words)
    return f"services:\n  gemma:\n    image: lmsysorg/sglang:v0.5.16\n    command: {line}\n"


def kubernetes(words: Words) -> str:
    return (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: gemma\n"
        "      image: lmsysorg/sglang:v0.5.16\n"
        f"      command: {json.dumps(list(words[:2]))}\n      args: {json.dumps(list(words[2:]))}\n"
    )


def dockerfile(words: Words) -> str:
    return f"FROM lmsysorg/sglang:v0.5.16\nCMD {json.dumps(list(words))}\n"


def dockerfile_line(words: Words) -> str:
    return f"FROM lmsysorg/sglang:v0.5.16\nCMD {' '.join(words)}\n"


def systemd(words: Words) -> str:
    return f"[Service]\nExecStart=/usr/bin/{' '.join(words)}\n"


def slurm(words: Words) -> str:
    return f"#!/bin/bash\n#SBATCH --gpus=2\nsrun {' '.join(words)}\n"


FILES: dict[str, Callable[[Words], str]] = {
    "run.sh": shell,
    "lines.sh": continued,
    "README.md": markdown,
    "compose.yaml": compose,
    "docker-compose.yml": compose_line,
    "pod.yaml": kubernetes,
    "Dockerfile": dockerfile,
    "Dockerfile.line": dockerfile_line,
    "sglang.service": systemd,
    "job.slurm": slurm,
}
# What is written, and what is to be read after fixing.
CORRECT = (("--tp-size", "2"), ("--mem-fraction-static", "0.85"), ("--disable-radix-cache",))
MISTAKES = {
    ("--tpp-size", "2"): ("--tp-size", "2"),
    ("--mem-fraction-statics=0.8",): ("--mem-fraction-static=0.8",),
    ("--reasoning-parser", "gema4"): ("--reasoning-parser", "gemma4"),
    ("--disable-radix-cahce",): ("--disable-radix-cache",),
}
UNFIXABLE = (("--zzzzqqqq",), ("--tp-size", "two"))


def target(name: str) -> Target:
    return Target(name, Path(name))


def settled(name: str, text: str) -> Checked:
    return target(name).mended(target(name).check(text, RELEASE), RELEASE)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mistake", MISTAKES, ids=" ".join)
def test_exactly_the_mistake_is_replaced(name: str, mistake: Words) -> None:
    text = FILES[name]((*START, *mistake, "--port", "30000"))
    expected = FILES[name]((*START, *MISTAKES[mistake], "--port", "30000"))
    after = settled(name, text)
    assert after.text == expected
    assert after.fixed == 1


@pytest.mark.parametrize("name", FILES)
def test_quotes_and_newlines_stay(name: str) -> None:
    text = FILES[name]((*START, "--tpp-size", "2")).replace("\n", "\r\n")
    after = settled(name, f"\ufeff{text}")
    assert after.text == f"\ufeff{text}".replace("--tpp-size", "--tp-size")


words = st.lists(
    st.one_of(
        st.sampled_from(CORRECT), st.sampled_from(tuple(MISTAKES)), st.sampled_from(UNFIXABLE)
    ),
    max_size=5,
).map(lambda groups: (*START, *(word for group in groups for word in group)))


@given(st.sampled_from(tuple(FILES)), words, st.sampled_from(["\n", "\r\n"]))
def test_fixing_is_complete_and_idempotent(name: str, words: Words, newline: str) -> None:
    text = FILES[name](words).replace("\n", newline)
    once = settled(name, text)
    assert not [finding for finding in once.findings if finding.fix]
    assert len(read(Path(name), once.text)) == len(read(Path(name), text)) == 1
    twice = settled(name, once.text)
    assert (twice.text, twice.fixed) == (once.text, 0)


@given(words)
def test_a_word_that_needs_quotes_is_quoted(words: Words) -> None:
    text = f"{shlex.join((*words, '--served-model-name', 'a b; rm'))}\n"
    (launch,) = read(Path("run.sh"), settled("run.sh", text).text)
    assert launch.argv[-1] == "a b; rm"
