"""``- --tp-size 2`` as one word: told as such, judged as if it were several, and split by a fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl.checking.files import Target, check
from gemma4ctl.checking.joined import separated
from gemma4ctl.checking.judge import Options
from gemma4ctl.checking.launch import Launch, Place, Word
from gemma4ctl.flags.table import load

POD = "kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - image: lmsysorg/sglang\n    args:"
MODEL = "\n    - --model-path=google/gemma-4-E4B-it"


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("--tp-size 2", ("--tp-size", "2")),
        ("--tp 2", ("--tp", "2")),
        ("--tp-size  2 ", ("--tp-size", "2")),
        ("--tp-size=2 --dp-size=2", ("--tp-size=2", "--dp-size=2")),
        ("--enable-metrics --tp-size 2", ("--enable-metrics", "--tp-size", "2")),
        ("--cuda-graph-bs 1 2 4", ("--cuda-graph-bs", "1", "2", "4")),
        ("--served-model-name my model", ("--served-model-name", "my model")),
        ("--served-model-name 'my model'", ("--served-model-name", "my model")),
        ("--served-model-name=my model", ("--served-model-name=my model",)),
        ("--no-such-flag 2", ("--no-such-flag 2",)),
        ("--tp-size", ("--tp-size",)),
        (" --tp-size 2", (" --tp-size 2",)),
        ("my model", ("my model",)),
        ("-- 2", ("-- 2",)),
        ("", ("",)),
    ],
)
def test_what_a_word_is_meant_as(word: str, parts: tuple[str, ...]) -> None:
    launch = Launch("-", "shell", "serve", (Word(word, Place(1, 1)),), Place(1, 1))
    after, joined = separated(launch, load("0.5.16"))
    assert after.argv == parts
    assert [found.parts for found in joined] == ([parts] if len(parts) > 1 else [])


def test_an_unknown_word_is_left_alone() -> None:
    word = Word("--tp-size $TP", Place(1, 1), certain=False)
    launch = Launch("-", "shell", "serve", (word,), Place(1, 1))
    assert separated(launch, load("0.5.16")) == (launch, [])


def test_it_is_said_precisely_and_judged_as_meant() -> None:
    text = f"{POD}\n    - --model-path google/gemma-4-E4B-it\n    - --tp-size 3\n"
    found = check(Path("pod.yaml"), text, Options()).findings
    assert [(finding.code, finding.place.line) for finding in found] == [
        ("unexpected-value", 7),
        ("tp-indivisible", 8),
        ("unexpected-value", 8),
    ]
    assert found[2].message == "'--tp-size 3' is one word, and SGLang has no flag of that name"
    assert found[2].remedy == "write --tp-size and 3 as 2 words"


@pytest.mark.parametrize(
    ("written", "fixed"),
    [
        (f"{MODEL}\n    - --tp-size 2\n", f'{MODEL}\n    - --tp-size\n    - "2"\n'),
        (f"{MODEL}\n    -   --tp-size 2  # two", f'{MODEL}\n    -   --tp-size\n    -   "2"  # two'),
        (f"{MODEL}\n    - '--tp-size 2'\n", f"{MODEL}\n    - '--tp-size'\n    - '2'\n"),
        (f'{MODEL}\n    - "--dtype half"\n', f'{MODEL}\n    - "--dtype"\n    - "half"\n'),
        (f"{MODEL}\n    - --dtype half\n", f"{MODEL}\n    - --dtype\n    - half\n"),
        (
            f"{MODEL}\n    - --tp-size=2 --enable-metrics\n",
            f"{MODEL}\n    - --tp-size=2\n    - --enable-metrics\n",
        ),
        (
            " [--model-path, a/b, --tp-size 2, '--dtype half']",
            " [--model-path, a/b, --tp-size, \"2\", '--dtype', 'half']",
        ),
    ],
    ids=["plain", "spaced", "single", "double", "word", "attached", "flow"],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_fix_splits_the_item(tmp_path: Path, newline: str, written: str, fixed: str) -> None:
    file = tmp_path / "pod.yaml"
    file.write_bytes((POD + written).replace("\n", newline).encode())
    target = Target(str(file), file)
    found = target.examine(Options())
    after = target.write(found, target.mended(found, Options()))
    assert file.read_bytes() == (POD + fixed).replace("\n", newline).encode()
    assert not after.findings


@pytest.mark.parametrize(
    ("name", "written", "fixed"),
    [
        ("run.sh", "sglang serve --model-path m '--tp-size 2'", " --tp-size 2"),
        (
            "Dockerfile",
            'FROM a\nCMD ["sglang", "serve", "--model-path", "m", "--tp-size 2"]',
            ' "--tp-size", "2"]',
        ),
        (
            "pod.yaml",
            "kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - image: lmsysorg/sglang\n    args:"
            "\n    - --model-path\n    - m\n    - - --tp-size 2\n",
            "",
        ),
    ],
    ids=["shell", "exec form", "nested list"],
)
def test_other_files_are_fixed_as_they_are_written(name: str, written: str, fixed: str) -> None:
    found = check(Path(name), written, Options())
    target = Target(name, Path(name), written)
    assert target.mended(found, Options()).text.endswith(fixed)
