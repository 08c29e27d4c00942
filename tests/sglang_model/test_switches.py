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
    names = {value for name, value in vars(switches).items() if name.endswith("_VARIABLE")}
    assert len(names) == 5 and not options & names


@pytest.mark.parametrize(
    ("listed", "parts"),
    [
        (None, ("norms", "attention", "linear", "experts", "decode", "logits")),
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


@pytest.mark.parametrize(
    ("listed", "sizes"),
    [(None, ()), ("", ()), (" ", ()), ("64", (64,)), ("512, 64,64", (64, 512))],
)
def test_sizes_of_graphs(listed: str | None, sizes: tuple[int, ...]) -> None:
    given = {} if listed is None else {switches.PREFILL_GRAPHS_VARIABLE: listed}
    assert switches.prefill_graph_sizes(given) == sizes


@pytest.mark.parametrize("listed", ["64;128", "0", "-64", "64,", "breakable", "6.4", "²"])
def test_what_is_no_list_of_sizes_is_said(listed: str) -> None:
    with pytest.raises(ValueError, match="not a list as 64,256,1024"):
        switches.prefill_graph_sizes({switches.PREFILL_GRAPHS_VARIABLE: listed})


def test_the_planned_sizes_are_those_asked_for() -> None:
    sizes = (16, 64, 2048)
    assert switches.prefill_graph_sizes(switches.prefill_graphs_environment(sizes)) == sizes
