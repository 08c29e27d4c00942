"""How sure a plan is that audio is refused: seen on one server, for others read in SGLang."""

from __future__ import annotations

import pytest

from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.rules.serving import AUDIO_LIMIT, NO_AUDIO
from gemma4ctl.profiles.load import load


@pytest.mark.parametrize(
    ("model", "platform", "release", "status"),
    [
        ("26B-A4B", "H200", "0.5.16", "verified"),
        ("26B-A4B", "H200", "0.5.23", "estimated"),
        ("26B-A4B", "MI300X", "0.5.16", "estimated"),
        ("31B", "H200", "0.5.16", "estimated"),
    ],
)
def test_status_of_the_limit(model: str, platform: str, release: str, status: str) -> None:
    table = load()
    made = plan(Request(model=model, sglang_version=release), simulate(platform, 8, table), table)
    decision = made.decision(AUDIO_LIMIT)
    assert decision and (decision.value, decision.status) == (NO_AUDIO, status)
