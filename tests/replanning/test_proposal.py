from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.capacity.workload import Share
from gemma4ctl.errors import NoPlanError
from gemma4ctl.planning.request import Request
from gemma4ctl.rendering.command import argv
from gemma4ctl.replanning import report
from gemma4ctl.replanning.observation import Observation
from gemma4ctl.replanning.proposal import Proposal, propose
from tests.planning.hosts import node, table

from .seen import observation

SEEN = {"requests_s": 0.085, "step_s": 0.030, "full_usage": 0.97, "sliding_usage": 0.6}


def proposed(seen: Observation, **request: Any) -> Proposal:
    asked = Request(**{"model": "31B", "hardware": "H200", "tp": 1, **request})
    return propose(seen, asked, node("H200", 1), table())


def flags(proposal: Proposal) -> dict[str, tuple[str | None, str | None]]:
    return {change.flag: (change.before, change.after) for change in proposal.changes}


def test_long_requests_get_a_smaller_sliding_pool() -> None:
    found = proposed(observation(**SEEN))
    assert found.limit.name == "full pool"
    before, after = flags(found)["--swa-full-tokens-ratio"]
    assert before == "0.8" and after is not None and float(after) < 0.2
    assert found.before.held is not None and found.after.held is not None
    assert found.after.held.requests >= 3 * found.before.held.requests
    assert f"--swa-full-tokens-ratio {after}" in " ".join(argv(found.after.plan))


def test_the_gain_is_what_the_model_says() -> None:
    gain = proposed(observation(**SEEN)).gain
    assert gain is not None and gain.model is not None and gain.ratio is not None
    assert (gain.running_before, gain.requests_s_before) == pytest.approx((2.0, 0.085))
    assert gain.running_after == 12  # all that are in flight
    assert gain.requests_s_after == pytest.approx(gain.model.requests_s(12))
    assert gain.ratio == pytest.approx(gain.model.requests_s(12) / 0.085)
    assert 1.5 < gain.ratio < 6


@pytest.mark.parametrize(
    "fields", [{"waiting": 0.0}, {"full_usage": 0.2, "sliding_usage": 0.1}], ids=["idle", "prefill"]
)
def test_where_no_pool_binds_nothing_is_gained(fields: dict[str, Any]) -> None:
    seen = observation(**{**SEEN, **fields})
    found = proposed(seen)
    assert found.gain is not None and found.gain.ratio == pytest.approx(1.0)
    assert found.changes == () and "change    nothing: " in report.text(seen, found)


def test_a_load_that_fits_changes_little() -> None:
    seen = observation(mix=(Share(1280, 1.0),), running=4.0, waiting=0.0)
    found = proposed(seen, model="E2B")
    assert found.limit.name == "none"
    assert found.gain is not None and found.gain.ratio is None
    assert found.gain.running_after == found.gain.running_before


def test_the_arguments_of_the_server_are_the_present_settings() -> None:
    arguments = {
        "swa_full_tokens_ratio": 0.05,
        "mem_fraction_static": 0.7,
        "chunked_prefill_size": 8192,
        "kv_cache_dtype": "fp8_e4m3",
        "tp_size": 1,
        "speculative_algorithm": None,
        "disable_radix_cache": False,
    }
    found = proposed(observation(**SEEN, arguments=arguments), tp=None)
    assert found.before.memory is not None
    assert found.before.memory.ratio.value == 0.05
    assert found.before.plan.value("mem_fraction_static") == 0.7
    assert "--kv-cache-dtype" in argv(found.after.plan)  # not a thing that replan changes
    assert found.after.plan.value("mem_fraction_static") != 0.7
    assert flags(found)["--mem-fraction-static"][0] == "0.7"


def test_a_server_that_runs_the_plan_is_left_as_it_is() -> None:
    mix = {"mix": (Share(32_500, 1.0, 500),), "requests_s": 0.3, "step_s": 0.03}
    first = proposed(observation(**mix, full_usage=0.97))
    settings = {change.argument: change.after for change in first.changes}
    assert {"max_running_requests", "cuda_graph_max_bs_decode"} <= set(settings)
    cap = int(settings["max_running_requests"] or 0)
    assert first.after.plan.request.request_tokens == "32000+500:1.0000"
    settings["mem_fraction_static"] = str(first.after.plan.value("mem_fraction_static"))
    same = observation(**mix, arguments=settings, running=float(cap), most_running=cap)
    found = proposed(same)
    assert found.limit.name == "running requests"
    assert found.changes == () and found.gain is not None and found.gain.ratio == 1


def test_own_flags_stay_but_for_the_levers() -> None:
    own = ("--load-format", "dummy", "--swa-full-tokens-ratio", "0.3")
    found = proposed(observation(**SEEN), extra_args=own)
    assert found.before.memory is not None and found.before.memory.ratio.value == 0.3
    after = argv(found.after.plan)
    assert "dummy" in after and after.count("--swa-full-tokens-ratio") == 1


def test_drafts_stay_as_they_are() -> None:
    arguments = {"speculative_algorithm": "FROZEN_KV_MTP"}
    found = proposed(observation(**SEEN, arguments=arguments), model="12B")
    assert found.after.plan.value("mtp") is True


def test_more_than_the_hardware_can_hold() -> None:
    seen = observation(mix=(Share(260_000, 1.0),), **SEEN)
    with pytest.raises(NoPlanError):
        propose(seen, Request(model="31B", hardware="H100", tp=1), node("H100", 1), table())


def test_without_anything_about_numbers_there_is_no_gain() -> None:
    found = proposed(observation(running=None, waiting=None))
    assert found.gain is None
    assert "gain" not in report.text(observation(running=None, waiting=None), found)


def test_without_a_step_it_is_estimated() -> None:
    gain = proposed(observation(**{**SEEN, "step_s": None})).gain
    assert gain is not None and gain.ratio is not None and gain.ratio > 1


def test_a_cpu_has_no_pools_to_predict() -> None:
    seen = observation(mix=(Share(1280, 1.0),), **SEEN)
    found = propose(seen, Request(model="E2B", hardware="Xeon"), node("Xeon", 1), table())
    assert found.gain is None and found.before.memory is None
    assert report.document(seen, found).before.requests is None
    report.text(seen, found)


def test_the_reader_is_told() -> None:
    seen = observation(**SEEN, notes=("counts are old",))
    found = proposed(seen)
    text = report.text(seen, found)
    for part in (
        "full pool 97%",
        "32,768 tokens, 12 at once",
        "--swa-full-tokens-ratio 0.8 -> ",
        "x output throughput (estimated: 2.0 -> 12.0 requests run at once",
        "note      counts are old",
    ):
        assert part in text
    document = report.document(seen, found)
    assert document.gain is not None and document.gain.assumed
    assert document.command.argv == tuple(argv(found.after.plan))
    assert document.observed.in_flight == 12


def test_every_flag_that_the_new_command_adds_is_a_change() -> None:
    """For few long requests the plan splits decode attention."""
    found = proposed(observation(**{**SEEN, "running": 2.0, "waiting": 2.0}), model="E2B")
    added = {word for word in argv(found.after.plan) if word.startswith("--")}
    added -= {word for word in argv(found.before.plan) if word.startswith("--")}
    assert "--triton-attention-num-kv-splits" in added
    assert added <= {change.flag for change in found.changes}
