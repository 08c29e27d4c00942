from __future__ import annotations

import pytest

from gemma4ctl.fitting.document import Lever
from tests.fitting.hosts import fitted, levers

ORDER = ["published", "load", "larger-share", "kv-fp8", "smaller-chunk", "fewer-graphs",
         "more-gpus", "unified-memory"]  # fmt: skip


def of(platform: str = "H200", gpus: int | None = 1, /, **request: object) -> dict[str, Lever]:
    return levers(fitted(platform, gpus, **request))


def test_gains_are_ratios_to_the_published_values() -> None:
    found = of()
    assert list(found) == ORDER
    base = found["published"].requests
    assert base is not None and found["published"].gain == 1
    for name in ("load", "kv-fp8", "smaller-chunk"):
        requests, gain = found[name].requests, found[name].gain
        assert requests is not None and gain == pytest.approx(requests / base, abs=1e-3)
    assert (found["load"].requests or 0) >= 3 * base


def test_fp8_holds_nearly_twice_as_much() -> None:
    found = of()
    before, after = found["load"].full_layer_tokens, found["kv-fp8"].full_layer_tokens
    assert before is not None and after is not None
    assert 1.9 < after / before < 2.1
    assert "--kv-cache-dtype fp8_e4m3" in str(found["kv-fp8"].command)


def test_a_larger_share_where_memory_is_to_spare() -> None:
    found = of()
    share = found["larger-share"]
    assert (share.full_layer_tokens or 0) > (found["load"].full_layer_tokens or 0)
    assert share.note.endswith("instead of 0.85; computed, try it with your longest prompts")
    assert of("L40S", 1, model="E4B")["larger-share"].command is None


def test_no_larger_share_where_none_is_left() -> None:
    found = of("H100", 1, model="31B")["larger-share"]
    assert found.command is None
    assert found.note.endswith("leaves no more than is needed")


def test_more_gpus_take_the_next_tp_that_divides() -> None:
    found = of("H200", 8)["more-gpus"]
    assert (found.gpus, found.note) == (4, "TP 4 instead of 2")
    alone = of()["more-gpus"]
    assert (alone.gpus, alone.command) == (None, None)
    assert "1 usable" in alone.note


def test_fewer_graphs_give_their_memory_to_the_cache() -> None:
    own = ("--max-running-requests", "512")
    found = of("H100", 1, model="E2B", request_tokens="128k", extra_args=own)
    load, graphs = found["load"], found["fewer-graphs"]
    assert graphs.note.startswith("batches of up to")
    assert graphs.note.endswith("GiB for KV cache")
    assert (graphs.full_layer_tokens or 0) > (load.full_layer_tokens or 0)
    assert "--mem-fraction" in str(graphs.command)
    assert "--cuda-graph-max-bs-decode" in str(graphs.command)


@pytest.mark.parametrize(
    ("platform", "gpus", "request_", "run", "graphs"),
    [
        ("RTX-4090", 1, {"model": "E2B", "request_tokens": "32k"}, 19, 22),
        ("H200", 1, {"model": "31B", "concurrency": 12}, 12, 15),
        ("H200", 1, {"model": "12B", "request_tokens": "1k"}, 288, 256),
        ("H200", 4, {"request_tokens": "32k", "extra_args": ("--dp-size", "2")}, 37, 37),
    ],
)
def test_graphs_of_batches_that_run_are_kept(
    platform: str, gpus: int, request_: dict[str, object], run: int, graphs: int
) -> None:
    found = of(platform, gpus, **request_)
    here, servers = found["fewer-graphs"], 2 if "extra_args" in request_ else 1
    assert (here.command, here.gain) == (None, None)
    runs = f"a server runs {run} of this load at once"
    assert here.note == f"{runs}; its graphs are for no more than {graphs} already"
    assert found["load"].requests == run * servers


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        (("--kv-cache-dtype", "fp8_e4m3"), "kv-fp8"),
        (("--chunked-prefill-size", "4096"), "smaller-chunk"),
        (("--cuda-graph-max-bs-decode", "16"), "fewer-graphs"),
        (("--mem-fraction-static", "0.8"), "fewer-graphs"),
        (("--mem-fraction-static", "0.8"), "larger-share"),
        (("--tp-size", "1"), "more-gpus"),
    ],
)
def test_what_the_user_chose_is_no_lever(flag: tuple[str, ...], name: str) -> None:
    lever = of("H200", 8, model="E2B", extra_args=flag)[name]
    assert lever.command is None
    assert lever.note.startswith("you chose")


def test_the_cap_on_running_requests_is_a_lever_where_it_binds() -> None:
    found = of("H200", 1, model="26B-A4B", mtp=True, request_tokens="8k")
    cap = found["more-running"]
    assert (cap.requests or 0) > (found["load"].requests or 0)
    assert "--concurrency" in str(cap.command)
    own = ("--max-running-requests", "3")
    fixed = of("H200", 1, model="E2B", extra_args=own)["more-running"]
    assert (fixed.command, fixed.note) == (None, "you chose their number")


@pytest.mark.parametrize(
    ("release", "mtp", "note"),
    [
        ("0.5.14", False, "SGLang has it from 0.5.15 on"),
        ("0.5.16", False, "not usable: until 0.5.23"),
        ("0.5.22", False, "not usable: until 0.5.23"),
        ("0.5.23", True, "not with MTP"),
        ("0.5.23", False, "not predicted"),
    ],
)
def test_the_unified_pool_by_release(release: str, mtp: bool, note: str) -> None:
    found = of("H200", 1, model="26B-A4B", sglang_version=release, mtp=mtp)["unified-memory"]
    assert found.note.startswith(note)
    assert (found.command, found.gain) == (None, None)


def test_published_values_that_do_not_start_have_no_figures() -> None:
    one = fitted("H200", 1, model="E4B")
    assert one.published is not None
    found = of("H100", 1, model="31B", context_length=65_536)
    assert found["published"].requests == 0
    assert found["load"].gain is None
