"""What is beyond a file that people write is refused, soon and with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl.checking.readers import limits, read
from gemma4ctl.errors import UsageError
from tests.checking.readers.hostile import TEXTS, seconds
from tests.effort import HUNG_S, linear

SLOW_WITHOUT_LIMITS = {
    "compose.yaml '${A:-'": "there is one text of 200,013 characters",
    "compose.yaml '$$'": "there is one text of 200,013 characters",
    "compose.yml ', $A'": "too many words and variables",
    "services": "too many launches",
    "services of one": "too many words and variables",
    "merged": "the YAML is too large",
    "open services": "too many words and variables",
    "stages": "too many launches",
}
LONG = [
    "run.sh '#SBATCH --gres=gpu:H100:8\\n'",
    "README.md '* a\\n  '",
    "Dockerfile 'ENV A=b\\n'",
    "nested keys",
]


@pytest.mark.parametrize(("label", "refusal"), SLOW_WITHOUT_LIMITS.items(), ids=SLOW_WITHOUT_LIMITS)
def test_hostile_texts_are_refused_soon(label: str, refusal: str) -> None:
    name, make = TEXTS[label]
    spent, outcome = seconds(name, make(200_000))
    assert refusal in outcome
    assert spent < HUNG_S


@pytest.mark.parametrize("label", LONG)
def test_hostile_texts_are_read_in_linear_time(label: str) -> None:
    name, make = TEXTS[label]
    assert linear(lambda length: seconds(name, make(length)), 50_000)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.md", f"```sh\n{'word ' * 24_000}\n```\nsglang\n" * 3, "too much shell text"),
        ("run.sh", "sglang serve --x\n" * (limits.MAX_LAUNCHES + 1), "too many launches"),
        ("run.sh", "sglang\n" + "\n" * limits.MAX_LINES, "file of 40,001 lines"),
        ("run.sh", "sglang\r" + "\r" * limits.MAX_LINES, "file of 40,001 lines"),
        ("run.sh", "sglang serve" + " x" * (limits.MAX_WORDS + 1), "command of 601 words"),
        (
            "compose.yaml",
            "services: {a: {image: sglang, command: '" + "${A:-" * 400_000 + "'}}",
            "one text of 2,000,000 characters",
        ),
        (
            "compose.yaml",
            "services: {a: {image: sglang, command: ['" + "${A:-" * 400_000 + "']}}",
            "one text of 2,000,000 characters",
        ),
    ],
    ids=["scripts", "launches", "lines", "returns", "words", "string", "item"],
)
def test_too_much_is_refused(name: str, text: str, found: str) -> None:
    with pytest.raises(UsageError, match=found) as refused:
        read(Path(name), text)
    assert refused.value.code == "command-too-large"
    assert refused.value.needed
    assert refused.value.remedies


def test_just_enough_is_read() -> None:
    text = "sglang serve --x\n" * limits.MAX_LAUNCHES
    assert len(read(Path("run.sh"), text)) == limits.MAX_LAUNCHES


def test_each_file_is_counted_alone() -> None:
    text = "sglang serve --x\n" * limits.MAX_LAUNCHES
    for _ in range(2):
        assert read(Path("run.sh"), text)


def test_variables_of_services_that_share_them_are_counted() -> None:
    shared = "".join(f"    A{n}: b\n" for n in range(1_000))
    services = "".join(f"  s{n}: *a\n" for n in range(60))
    text = f"x: &a\n  image: sglang\n  environment:\n{shared}services:\n{services}"
    with pytest.raises(UsageError, match="too many words and variables"):
        read(Path("compose.yaml"), text)
