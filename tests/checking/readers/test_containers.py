"""``docker run`` and its like: image, environment, ports and devices."""

from __future__ import annotations

import pytest

from gemma4ctl.checking.launch import UNNAMED
from gemma4ctl.checking.readers.containers import (
    beyond_loopback,
    image_vendor,
    serves_sglang,
)
from tests.checking.readers.reading import launch


def test_docker_run() -> None:
    found = launch(
        "export OUTSIDE=1\n"
        "sudo docker run --rm -it -d --gpus all --shm-size 32g --ipc=host -v a:/b "
        "-p 127.0.0.1:30000:30000 -e A=b --env='C=d e' --env NAMED -eX=1 -e Y=$Z "
        "--name sglang lmsysorg/sglang:v0.5.16-cu129 sglang serve --x y"
    )
    assert found.argv == ("--x", "y")
    assert found.image == "lmsysorg/sglang:v0.5.16-cu129"
    assert (found.release, found.vendor, found.published) == ("0.5.16", "nvidia", False)
    expected = {"A": "b", "C": "d e", "NAMED": None, "X": "1", "Y": None}
    assert dict(found.environment) == expected


@pytest.mark.parametrize(
    "command",
    [
        "podman run img sglang serve --x y",
        "nerdctl run --rm img python3 -m sglang.launch_server --x y",
        "docker container run img env A=1 sglang serve --x y",
        "docker --context c create img sglang serve --x y",
        "docker run --entrypoint sglang img serve --x y",
        "docker run --entrypoint=python3 img -m sglang.launch_server --x y",
        "docker run img bash -lc 'cd / && A=1 sglang serve --x y'",
        'docker run img bash <<EOF\nEOF\ndocker run img sh -c "sglang serve --x y"',
    ],
)
def test_forms(command: str) -> None:
    found = launch(command.replace("--context c", "--context=c"))
    assert (found.argv, found.image, found.published) == (("--x", "y"), "img", False)


@pytest.mark.parametrize(
    ("options", "published"),
    [
        ("-p 30000:30000", True),
        ("-p30000:30000", True),
        ("--publish=0.0.0.0:1:2", True),
        ("--publish 127.0.0.1:1:2", False),
        ("-p 127.0.0.1:1:2 -p 3:4", True),
        ("-P", True),
        ("-dP", True),
        ("--publish-all", True),
        ("", False),
        ("--network host", None),
        ("--net=host", None),
        ("--network bridge", False),
    ],
)
def test_published(options: str, published: bool | None) -> None:
    assert launch(f"docker run {options} img sglang serve").published is published


@pytest.mark.parametrize(
    ("port", "beyond"),
    [
        ("30000", True),
        ("1:2", True),
        ("127.0.0.1:1:2", False),
        ("127.0.0.1::2", False),
        ("localhost:1:2", False),
        ("[::1]:1:2", False),
        ("[::]:1:2", True),
        ("10.0.0.1:1:2/tcp", True),
        ("$ADDRESS:1:2", True),
    ],
)
def test_beyond_loopback(port: str, beyond: bool) -> None:
    assert beyond_loopback(port) is beyond


@pytest.mark.parametrize(
    ("options", "vendor"),
    [
        ("--gpus '\"device=0,1\"' img", "nvidia"),
        ("--runtime=nvidia img", "nvidia"),
        ("--device nvidia.com/gpu=all img", "nvidia"),
        ("--device=/dev/kfd --device=/dev/dri img", "amd"),
        ("--device /dev/dri img", None),
        ("lmsysorg/sglang:v0.5.16-rocm700-mi30x", "amd"),
        ("img", None),
    ],
)
def test_vendor(options: str, vendor: str | None) -> None:
    assert launch(f"docker run {options} sglang serve").vendor == vendor


@pytest.mark.parametrize(
    ("image", "vendor"),
    [
        ("lmsysorg/sglang:latest", "nvidia"),
        ("lmsysorg/sglang", "nvidia"),
        ("lmsysorg/sglang:v0.5.15.post1", "nvidia"),
        ("lmsysorg/sglang:v0.5.19-cu129-runtime", "nvidia"),
        ("lmsysorg/sglang:v0.5.16-rocm720-mi35x", "amd"),
        ("lmsysorg/sglang:v0.5.16-xpu", "intel"),
        ("lmsysorg/sglang:v0.5.16-npu", None),
        ("ghcr.io/me/server:1", None),
        (None, None),
    ],
)
def test_image_vendor(image: str | None, vendor: str | None) -> None:
    assert image_vendor(image) == vendor


def test_an_image_in_a_variable() -> None:
    assert launch("docker run $IMAGE sglang serve").image is None
    assert launch("I=img:1; docker run ${I} sglang serve").image == "img:1"


@pytest.mark.parametrize(
    ("image", "serves"),
    [
        ("lmsysorg/sglang:v0.5.16", True),
        ("registry.example:5000/team/sglang-gemma:1", True),
        ("own/sglang@sha256:0", True),
        ("ghcr.io/sgl-project/sglang-exporter:1", False),
        ("lmsysorg/sglang-router", False),
        ("vllm/vllm-openai", False),
        (None, False),
    ],
)
def test_images_that_start_sglang(image: str | None, serves: bool) -> None:
    assert serves_sglang(image) is serves


def test_variables_from_a_file_are_not_known() -> None:
    found = launch("docker run --env-file .env -e A=b lmsysorg/sglang sglang serve --x")
    assert dict(found.environment) == {UNNAMED: None, "A": "b"}
