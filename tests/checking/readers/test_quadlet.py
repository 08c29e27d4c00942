"""Quadlet units as the ``podman run`` that they stand for. Texts are written for these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl.checking.launch import UNNAMED
from gemma4ctl.checking.readers import read
from tests.checking.readers.reading import argv, launch, launches, uncertain, written

UNIT = """[Unit]
Description=Gemma 4

[Container]
Image=docker.io/lmsysorg/sglang:v0.5.16
{settings}
[Service]
Environment=SGLANG_OUTSIDE=1
Restart=always
"""
EXEC = "Exec=sglang serve --model-path google/gemma-4-31B-it --tp-size 2\n"


def unit(settings: str) -> str:
    return UNIT.format(settings=settings)


def test_the_command_and_its_image() -> None:
    found = launch(unit(EXEC), "gemma.container")
    assert found.kind == "quadlet"
    assert found.image == "docker.io/lmsysorg/sglang:v0.5.16"
    assert found.release == "0.5.16"
    assert found.argv == ("--model-path", "google/gemma-4-31B-it", "--tp-size", "2")
    assert found.place.line == 6
    assert dict(found.environment) == {}


def test_words_know_where_they_are_written() -> None:
    text = unit('Exec=sglang serve \\\n  --model-path "a b" \\\n  # not this\n  --tp-size 2\n')
    assert written(text, "gemma.container") == ["--model-path", '"a b"', "--tp-size", "2"]


@pytest.mark.parametrize(
    "settings",
    [
        "Entrypoint=sglang\nExec=serve --x\n",
        'Entrypoint=["sglang", "serve"]\nExec=--x\n',
        "Exec=old\nExec=python3 -m sglang.launch_server --x\n",
        'Exec=bash -c "exec sglang serve --x"\n',
        "PodmanArgs=--entrypoint sglang\nExec=serve --x\n",
    ],
)
def test_ways_to_say_what_runs(settings: str) -> None:
    assert argv(unit(settings), "gemma.container") == ["--x"]


def test_nothing_of_sglang_is_no_launch() -> None:
    assert launches(unit("# sglang\nExec=sleep infinity\n"), "gemma.container") == []
    assert launches(unit(f"{EXEC}Exec=\n"), "gemma.container") == []
    assert read(Path("a.container"), "[Container]\nExec=sglang serve --x\n")[0].image == ""


@pytest.mark.parametrize(
    ("setting", "published"),
    [
        ("PublishPort=30000:30000", True),
        ("PublishPort=127.0.0.1:30000:30000", False),
        ("PublishPort=[::1]:30000:30000", False),
        ("PodmanArgs=--publish 30000:30000", True),
        ("Network=host", None),
        ("Network=gemma.network", False),
        ("", False),
    ],
)
def test_who_can_reach_it(setting: str, published: bool | None) -> None:
    assert launch(unit(f"{setting}\n{EXEC}"), "gemma.container").published is published


@pytest.mark.parametrize(
    ("setting", "vendor"),
    [
        ("AddDevice=nvidia.com/gpu=all", "nvidia"),
        ("AddDevice=/dev/kfd\nAddDevice=/dev/dri", "amd"),
        ("PodmanArgs=--gpus all", "nvidia"),
        ("PodmanArgs=--device=/dev/kfd --device=/dev/dri --group-add video", "amd"),
        ("", None),
    ],
)
def test_the_vendor_of_its_devices(setting: str, vendor: str | None) -> None:
    text = unit(f"{setting}\n{EXEC}").replace("lmsysorg/sglang:v0.5.16", "own/gemma:1")
    assert launch(text, "gemma.container").vendor == vendor


def test_its_environment_is_not_that_of_the_service() -> None:
    text = unit(f'Environment=A=1 "B=2 3"\nEnvironment=C=4\nEnvironmentFile=/etc/gemma\n{EXEC}')
    environment = dict(launch(text, "gemma.container").environment)
    assert environment == {"A": "1", "B": "2 3", "C": "4", UNNAMED: None}


def test_an_empty_value_takes_back_those_before() -> None:
    text = unit(f"Environment=A=1\nEnvironment=\nEnvironment=B=2\n{EXEC}")
    assert dict(launch(text, "gemma.container").environment) == {"B": "2"}


def test_specifiers_and_variables_are_not_known() -> None:
    text = unit("Exec=sglang serve --model-path %i --port ${PORT}\n")
    assert uncertain(text, "gemma@.container") == ["%i", "${PORT}"]


@pytest.mark.parametrize("name", ["gemma.container", "gemma.service", "-"])
def test_the_section_tells_the_kind(name: str) -> None:
    assert launch(unit(EXEC), name).kind == "quadlet"
