"""Releases, vendors and directives that a file states for its launches."""

from __future__ import annotations

import pytest

from tests.checking.readers.reading import launch, launches


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("pip install sglang==0.5.16", "0.5.16"),
        ('uv pip install "sglang[all]==0.5.15.post1" --prerelease=allow', "0.5.15.post1"),
        ("# image: lmsysorg/sglang:v0.5.13.post1-rocm700", "0.5.13.post1"),
        ("pip install 'sglang >= 0.5.16'", None),
        ("pip install sglang-router==0.1.2", None),
        ("docker pull lmsysorg/sglang:latest", None),
    ],
)
def test_release(line: str, release: str | None) -> None:
    assert launch(f"{line}\nsglang serve").release == release
    assert launch(f"sglang serve\n{line}").release == release


def test_the_release_above_counts_and_the_image_most() -> None:
    text = (
        "sglang serve --a\npip install sglang==0.5.16\nsglang serve --b\n"
        "pip install sglang==0.5.17\ndocker run lmsysorg/sglang:v0.5.18 sglang serve --c\n"
        "sglang serve --d"
    )
    assert [found.release for found in launches(text)] == [None, "0.5.16", "0.5.18", "0.5.18"]


def test_the_vendor_of_the_only_image() -> None:
    assert launch("docker pull lmsysorg/sglang:v0.5.16-rocm700\nsglang serve").vendor == "amd"
    both = "# lmsysorg/sglang:v0.5.16-rocm700 lmsysorg/sglang:v0.5.16\nsglang serve"
    assert launch(both).vendor is None
    assert launch("docker pull lmsysorg/sglang:v0.5.16\ndocker run img sglang serve").vendor is None


def test_directives() -> None:
    text = (
        "#!/bin/sh\n# gemma4ctl: hardware=H100 gpus=2\n"
        + "\n" * 10
        + "#gemma4ctl: sglang=0.5.17 gpus=4 ignore=A,B and words\n"
        + "sglang serve \\\n --x # gemma4ctl: ignore=C\n"
        + "sglang serve --y\n"
    )
    first, second = launches(text)
    assert dict(first.directives) == {
        "hardware": "H100",
        "gpus": "4",
        "sglang": "0.5.17",
        "ignore": "A,B,C",
    }
    assert dict(second.directives) == {"hardware": "H100", "gpus": "2"}


def test_directives_in_markdown() -> None:
    text = "\n" * 12 + "<!-- gemma4ctl: ignore=A -->\n```sh\nsglang serve\nsglang serve\n```\n"
    assert [dict(found.directives) for found in launches(text, "a.md")] == [{"ignore": "A"}, {}]


@pytest.mark.parametrize(
    ("request_line", "directives"),
    [
        ("--gres=gpu:h100:4", {"hardware": "H100", "gpus": "4"}),
        ("--gres=gpu:8", {"gpus": "8"}),
        ("--gpus-per-node=H200:2", {"hardware": "H200", "gpus": "2"}),
        ("--gpus-per-node 4", {"gpus": "4"}),
        ("--gpus=mi300x:8", {"hardware": "MI300X", "gpus": "8"}),
        ("-G 2", {"gpus": "2"}),
        ("--gres=gpu:unheardof:1", {"gpus": "1"}),
        ("--nodes=1", {}),
    ],
)
def test_slurm(request_line: str, directives: dict[str, str]) -> None:
    text = f"#!/bin/bash\n#SBATCH {request_line}\n#SBATCH --time=1:00:00\nsrun sglang serve"
    found = launch(text, "job")
    assert (found.kind, dict(found.directives)) == ("slurm", directives)
    assert launch(text, "job.sbatch").kind == launch(text, "job.sh").kind == "slurm"


def test_a_directive_wins_over_slurm() -> None:
    text = "#SBATCH --gres=gpu:h100:4\n# gemma4ctl: gpus=2\nsglang serve"
    assert dict(launch(text, "a.sbatch").directives) == {"hardware": "H100", "gpus": "2"}


def test_a_comment_wins_over_what_a_container_asks_for() -> None:
    services = """
services:
  a:
    image: lmsysorg/sglang
    command: sglang serve --x
    gpus: 2
  b:
    image: lmsysorg/sglang
    # gemma4ctl: gpus=4
    command: sglang serve --y
    gpus: 2
"""
    text = "\n" * 10 + services
    assert [one.directives["gpus"] for one in launches(text, "compose.yaml")] == ["2", "4"]
    text = "# gemma4ctl: gpus=8" + text
    assert [one.directives["gpus"] for one in launches(text, "compose.yaml")] == ["8", "4"]
