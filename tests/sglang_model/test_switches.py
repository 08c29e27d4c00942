from __future__ import annotations

import pytest

from gemma4ctl.sglang_model import switches


@pytest.mark.parametrize("value", [None, "", "stock", "auto", "1", "FUSED"])
def test_nothing_is_on_by_itself(value: str | None) -> None:
    given = {switches.KERNELS_VARIABLE: value, switches.KV_VARIABLE: value} if value else {}
    assert not switches.fused_asked(given)
    assert not switches.shared_kv_asked(given)


def test_what_switches_on_is_what_is_asked_for() -> None:
    assert switches.fused_asked(switches.fused_environment())
    assert switches.shared_kv_asked(switches.shared_kv_environment())
    assert not switches.shared_kv_asked(switches.fused_environment())


def test_no_switch_is_an_option_of_the_command_line() -> None:
    """GEMMA4CTL_KERNELS=fused asks for a plan; a server that inherits it must not change."""
    from gemma4ctl.settings import OPTIONS, PREFIX

    options = {f"{PREFIX}{name.upper()}" for name in OPTIONS}
    assert not options & {switches.KERNELS_VARIABLE, switches.KV_VARIABLE, switches.PARTS_VARIABLE}


@pytest.mark.parametrize(
    ("listed", "parts"),
    [
        (None, ("norms", "attention", "linear", "experts", "decode")),
        ("norms", ("norms",)),
        ("linear", ("linear",)),
        ("decode,norms", ("norms", "decode")),
        (" linear, norms,", ("norms", "linear")),
        ("", ()),
    ],
)
def test_parts(listed: str | None, parts: tuple[str, ...]) -> None:
    given = {} if listed is None else {switches.PARTS_VARIABLE: listed}
    assert switches.parts(given) == parts


def test_a_part_that_does_not_exist_is_said() -> None:
    with pytest.raises(ValueError, match="names attn; there are norms, attention, "):
        switches.parts({switches.PARTS_VARIABLE: "norms,attn"})
