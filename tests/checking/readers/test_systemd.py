"""Launches in systemd units."""

from __future__ import annotations

import pytest

from tests.checking.readers.reading import argv, launch, launches, uncertain, written


def unit(*lines: str) -> str:
    return "\n".join(["[Unit]", "Description=sglang serve --not-this", "[Service]", *lines, ""])


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/opt/bin/sglang serve --x y",
        "ExecStart = -@/usr/bin/python3 -m sglang.launch_server --x y",
        "ExecStart=/usr/bin/env A=b sglang serve --x y",
        "ExecStart=sglang serve \\\n  --x \\\n# comment\n; comment\n  y",
        "ExecStart=sglang serve '--x' \"y\"",
        "ExecStart=/bin/bash -c 'exec sglang serve --x y'",
        "Environment=A=y B=c\nExecStart=sglang serve --x $A",
        'ExecStart=sglang serve --x ${A}\nEnvironment="A=y" no',
        "ExecStart=/usr/bin/docker run --gpus all img sglang serve --x y",
    ],
)
def test_a_launch_is_found_in(line: str) -> None:
    assert argv(unit(line), "sglang.service") == ["--x", "y"]
    assert launch(unit(line), "sglang.service").kind == "systemd"


def test_no_launch_in() -> None:
    assert (
        launches(
            unit("ExecStop=/bin/pkill sglang serve", "ExecStart=/bin/true sglang"), "a.service"
        )
        == []
    )


def test_environment() -> None:
    text = unit(
        "Environment=A=1", 'Environment="B=2 3"', "Environment=C=%h/x", "ExecStart=sglang serve"
    )
    assert dict(launch(text, "a.service").environment) == {"A": "1", "B": "2 3", "C": None}


def test_what_is_known_only_at_run_time() -> None:
    text = unit("EnvironmentFile=/etc/x", "ExecStart=sglang serve --p 5%% --c $$X --n %i --m $M")
    assert uncertain(text, "a.service") == ["$X", "%i", "$M"]
    assert "5%" in argv(text, "a.service")


def test_places() -> None:
    text = unit("ExecStart=sglang serve \\", "  --x 'a b'")
    assert written(text, "a.service") == ["--x", "'a b'"]
    assert launch(text, "a.service").words[0].place.line == 5


def test_a_unit_is_known_by_its_content() -> None:
    assert launch(unit("ExecStart=sglang serve"), "").kind == "systemd"
    assert launch(unit("ExecStart=sglang serve"), "x.service.in").kind == "systemd"
