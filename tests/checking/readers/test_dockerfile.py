"""Launches in Dockerfiles."""

from __future__ import annotations

import pytest

from tests.checking.readers.reading import argv, launch, launches, uncertain, written

IMAGE = "FROM lmsysorg/sglang:v0.5.16\n"


@pytest.mark.parametrize(
    "instructions",
    [
        'CMD ["sglang", "serve", "--x", "y"]',
        'CMD [ "sglang" ,"serve", \\\n  "--x",\\\r\n  "y" ]',
        "CMD sglang serve --x y",
        "cmd sglang serve \\\n  # comment\n\n  --x \\\n y",
        'ENTRYPOINT ["sglang", "serve"]\nCMD ["--x", "y"]',
        'ENTRYPOINT ["sglang", "serve", "--x"]\nCMD ["y"]',
        'ENTRYPOINT ["python3", "-m", "sglang.launch_server", "--x", "y"]\nCMD []',
        "ENTRYPOINT sglang serve --x y\nCMD ignored",
        'ENTRYPOINT ["tini", "--"]\nCMD sglang serve --x y',
        'CMD ["bash", "-c", "exec sglang serve --x y"]',
        'CMD ["sglang", "serve", "--old"]\nCMD ["sglang", "serve", "--x", "y"]',
        'CMD ["sglang", "serve", "--old"]\nENTRYPOINT ["sglang", "serve", "--x", "y"]\nCMD []',
        "ENV A=y\nCMD sglang serve --x $A",
        "ENV A y\nCMD sglang serve --x ${A}",
        "ARG A=y\nENTRYPOINT sglang serve --x $A",
        "RUN cat > /start.sh <<EOF\nsglang serve --x y\nEOF",
        "RUN --mount=type=cache,target=/x <<EOF\necho 'sglang serve --no'\nsglang serve --x y\nEOF",
    ],
)
def test_a_launch_is_found_in(instructions: str) -> None:
    assert argv(IMAGE + instructions, "Dockerfile") == ["--x", "y"]
    found = launch(IMAGE + instructions, "Dockerfile")
    assert (found.kind, found.image) == ("dockerfile", "lmsysorg/sglang:v0.5.16")
    assert (found.release, found.vendor, found.published) == ("0.5.16", "nvidia", None)


@pytest.mark.parametrize(
    "instructions",
    [
        "CMD []",
        "CMD",
        "EXPOSE 1",
        "RUN pip install sglang",
        "# CMD sglang serve",
        'CMD ["sglang"',
        "CMD [sglang, serve]",
    ],
)
def test_no_launch_in(instructions: str) -> None:
    assert launches(IMAGE + instructions, "Dockerfile") == []


def test_words_of_the_exec_form_are_json() -> None:
    text = IMAGE + 'CMD ["sglang", "serve", "--x", "a\\"b", "é"]'
    assert written(text, "Dockerfile") == ['"--x"', '"a\\"b"', '"é"']
    assert [word.text for word in launch(text, "Dockerfile").words] == ["--x", 'a"b', "é"]
    assert {word.style for word in launch(text, "Dockerfile").words} == {"json"}


def test_arguments_may_come_with_docker_run() -> None:
    assert uncertain(IMAGE + 'ENTRYPOINT ["sglang", "serve"]', "Dockerfile") == ["$@"]


def test_environment() -> None:
    text = (
        IMAGE
        + "ENV A=1 B='2 3' \\\n C=4\nENV D five six\nENV E=$UNKNOWN\nARG F=7\nCMD sglang serve"
    )
    expected = {"A": "1", "B": "2 3", "C": "4", "D": "five six", "E": None}
    assert dict(launch(text, "Dockerfile").environment) == expected


def test_stages() -> None:
    text = (
        "ARG TAG=v0.5.19-rocm720\nARG OTHER\n"
        "FROM --platform=linux/amd64 lmsysorg/sglang:${TAG} AS base\n"
        'ARG TAG\nENV A=1\nENTRYPOINT ["sglang", "serve"]\nCMD ["--a"]\n'
        'FROM base AS b\nENV B=2\nCMD ["--b"]\n'
        "FROM base\nRUN true\n"
        "FROM scratch\nCMD sglang serve --c ${TAG}\n"
    )
    first, second, third = launches(text, "Dockerfile")
    assert (first.argv, dict(first.environment)) == (("--a",), {"A": "1"})
    assert (second.argv, dict(second.environment)) == (("--b",), {"A": "1", "B": "2"})
    assert second.image == "lmsysorg/sglang:v0.5.19-rocm720"
    assert (second.release, second.vendor) == ("0.5.19", "amd")
    assert (third.image, third.argv) == ("scratch", ("--c", "v0.5.19-rocm720"))


def test_an_image_that_is_not_known() -> None:
    assert launch("FROM ${IMAGE}\nCMD sglang serve", "Dockerfile").image is None


def test_the_escape_directive() -> None:
    text = "# escape=`\nFROM x\nCMD sglang serve --x `\n  y"
    assert argv(text, "Dockerfile")[0] == "--x"


@pytest.mark.parametrize(
    "name", ["Dockerfile", "Dockerfile.gpu", "a/Containerfile", "x.Dockerfile", ""]
)
def test_names(name: str) -> None:
    assert launch("# c\n" + IMAGE + "CMD sglang serve", name).kind == "dockerfile"


def test_an_unclosed_here_document() -> None:
    assert argv(IMAGE + "RUN <<EOF # sglang\nsglang serve --x", "Dockerfile") == ["--x"]
