"""``docker --dockerfile`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Result

Cli = Callable[..., Result]
PLAN = ("docker", "-m", "E2B", "--hardware", "H200", "--kernels", "fused")


def test_a_dockerfile_is_printed_and_written(cli: Cli) -> None:
    printed = cli(*PLAN, "--dockerfile")
    assert printed.code == 0
    assert "\nFROM lmsysorg/sglang" in printed.out
    written = cli(*PLAN, "--dockerfile", "-o", "Dockerfile")
    assert written.code == 0
    assert "docker build --tag NAME - < Dockerfile" in written.err
    assert Path("Dockerfile").read_text() == printed.out
    assert cli(*PLAN, "--dockerfile", "-o", "Dockerfile").code == 0  # its own file


def test_a_file_of_somebody_else_is_kept(cli: Cli) -> None:
    Path("Dockerfile").write_text("FROM scratch\n")
    assert cli(*PLAN, "--dockerfile", "-o", "Dockerfile").code == 2
    assert Path("Dockerfile").read_text() == "FROM scratch\n"
    assert cli(*PLAN, "--dockerfile", "-o", "Dockerfile", "--force").code == 0


@pytest.mark.parametrize("other", [("--compose",), ("--json",), ("--name", "gemma")])
def test_options_that_exclude_it(cli: Cli, other: tuple[str, ...]) -> None:
    result = cli(*PLAN, "--dockerfile", *other)
    assert result.code == 2
    assert other[0] in result.err
