"""What stands after --: it wins, it is seen by later rules, it is shown, and it is sent once."""

from __future__ import annotations

from typing import Any

import pytest

from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.flags.parse import parse
from gemma4ctl.flags.table import load
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.command import argv

from .hosts import gpu, host, planned

OVERRIDES = [
    (("--tp", "4"), "tensor_parallel_size", 4),
    (("--tp-size=4",), "tensor_parallel_size", 4),
    (("--tensor-parallel-size", "4"), "tensor_parallel_size", 4),
    (("--tp-size", "1"), "tensor_parallel_size", 1),
    (("--mem-fraction-static=0.7",), "mem_fraction_static", 0.7),
    (("--attention-backend", "fa3"), "attention_backend", "fa3"),
    (("--host", "0.0.0.0"), "host", "0.0.0.0"),
    (("--port=8000",), "port", 8000),
    (("--reasoning-parser", "auto"), "reasoning_parser", "auto"),
    (("--model-path", "/models/own"), "model_path", "/models/own"),
    (("--model", "/models/own"), "model_path", "/models/own"),
    (("--model-type", "auto"), "model_type", "auto"),
    (("--speculative-num-steps", "3"), "speculative_num_steps", 3),
    (("--speculative-draft-model", "/d"), "draft_model_path", "/d"),
    (("--context-length", "4096"), "context_length", 4096),
    (("--page-size", "16"), "page_size", 16),
    (("--max-running-requests", "7"), "max_running_requests", 7),
    (("--quantization", "fp8"), "quantization", "fp8"),
    (
        ("--limit-mm-data-per-request", '{"audio": 0, "image": 4}'),
        "limit_mm_data_per_request",
        '{"audio": 0, "image": 4}',
    ),
    (("--config", "own.yaml"), "api_key_config", "own.yaml"),
]  # fmt: skip


def sent_once(plan: Plan) -> None:
    words = argv(plan)[2:]
    codes = {problem.code for problem in parse(words, load(plan.release)).problems}
    assert "duplicate-flag" not in codes
    assert words[len(words) - len(plan.extra_args) :] == list(plan.extra_args)


@pytest.mark.parametrize(("extra", "name", "value"), OVERRIDES, ids=lambda v: str(v))
def test_a_flag_after_the_dashes_wins(extra: tuple[str, ...], name: str, value: Any) -> None:
    plan = planned(
        "H200",
        model="31B",
        mtp=True,
        context_length=8192,
        api_key_config="/run/key.yaml",
        extra_args=extra,
    )
    decision = plan.decision(name)
    assert decision is not None
    assert (decision.value, decision.origin) == (value, "after --")
    assert decision.flag is None
    assert "your own flag" in decision.reason
    assert [d.name for d in plan.decisions].count(name) == 1
    sent_once(plan)


def test_the_reason_says_what_the_rules_would_have_set() -> None:
    plan = planned("H200", model="31B", extra_args=("--host", "0.0.0.0"))
    decision = plan.decision("host")
    assert decision and "instead of --host 127.0.0.1" in decision.reason


def test_later_rules_see_the_users_value() -> None:
    plan = planned("B200", model="31B", extra_args=("--attention-backend", "trtllm_mha"))
    assert plan.value("page_size") == 64
    small = planned("H200", model="31B", extra_args=("--mem-fraction-static", "0.7"))
    usual = planned("H200", model="31B")
    assert small.capacity and usual.capacity
    assert small.capacity.full_layer_tokens < usual.capacity.full_layer_tokens
    wide = planned("H200", model="31B", extra_args=("--tp", "4"))
    assert wide.hardware.gpu_count == 4


def test_steps_and_draft_tokens_follow_each_other() -> None:
    steps = planned("H200", model="31B", mtp=True, extra_args=("--speculative-num-steps", "3"))
    assert steps.value("speculative_num_draft_tokens") == 4
    tokens = planned(
        "H200", model="31B", mtp=True, extra_args=("--speculative-num-draft-tokens", "4")
    )
    assert tokens.value("speculative_num_steps") == 3


def test_other_flags_are_shown_once_with_their_last_value() -> None:
    plan = planned("H200", model="E2B", extra_args=("--log-level", "info", "--log-level=debug"))
    shown = [d for d in plan.decisions if d.name == "log_level"]
    assert [(d.value, d.origin, d.flag) for d in shown] == [("debug", "after --", None)]
    assert {w.code: w.remedy for w in plan.warnings}["duplicate-flag"] == "keep one of them"


def test_unknown_and_valued_flags_are_shown() -> None:
    plan = planned("H200", model="E2B", extra_args=("--no-such", "x", "--lora-paths", "a=b", "c=d"))
    assert plan.value("--no-such") == "--no-such x"
    shown = plan.value("lora_paths")
    assert isinstance(shown, tuple) and len(shown) == 2


@pytest.mark.parametrize("flag", ["--api-key", "--admin-api-key", "--ssl-keyfile-password"])
def test_a_secret_is_not_repeated(flag: str) -> None:
    plan = planned("H200", model="E2B", extra_args=(flag, "s3cret-value"))
    assert "s3cret-value" not in "".join(d.model_dump_json() for d in plan.decisions)
    assert "secret-in-argv" in {warning.code for warning in plan.warnings}


def test_replicas_and_stages_take_their_gpus() -> None:
    eight = host(*(gpu(n) for n in range(8)))
    replicas = planned(eight, model="31B", extra_args=("--dp-size", "2"))
    assert replicas.value("tensor_parallel_size") == 2
    assert replicas.hardware.gpu_count == 4
    assert replicas.value("devices") == "0,1,2,3"
    stages = planned(eight, model="31B", extra_args=("--pp-size", "2"))
    assert stages.hardware.gpu_count == 4
    shared = planned(eight, model="31B", extra_args=("--dp-size", "2", "--enable-dp-attention"))
    assert shared.hardware.gpu_count == 2


def test_more_replicas_than_gpus() -> None:
    with pytest.raises(NoPlanError) as raised:
        planned("H200", model="31B", extra_args=("--dp-size", "9"))
    assert raised.value.code == "too-few-gpus"
    with pytest.raises(NoPlanError, match="in 2 groups needs 8 GPUs"):
        planned(host(gpu(0), gpu(1)), model="31B", extra_args=("--tp", "4", "--dp-size", "2"))


def test_a_small_pool_of_the_users_own_is_no_obstacle() -> None:
    plan = planned("H200", model="E2B", extra_args=("--max-total-tokens", "4096"))
    assert plan.capacity and plan.capacity.full_layer_tokens == 4096


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (("google/gemma-4-31B-it",), "extra-args"),
        (("--tp", "0"), "tp-size"),
        (("--mem-fraction-static", "1.5"), "mem-fraction"),
        (("--context-length", "-1"), "context-too-short"),
    ],
)
def test_values_that_make_no_sense(extra: tuple[str, ...], code: str) -> None:
    with pytest.raises(UsageError) as raised:
        planned("H200", model="31B", extra_args=extra)
    assert raised.value.code == code


def test_a_value_of_the_wrong_type_is_named_not_used() -> None:
    plan = planned("H200", model="31B", extra_args=("--tp", "two"))
    assert "bad-type" in {warning.code for warning in plan.warnings}


def test_values_of_another_origin_are_shown_as_such() -> None:
    plan = planned(
        "H200",
        model="31B",
        port=8000,
        context_length=8192,
        tp=4,
        mem_fraction=0.8,
        origins={
            "port": "environment GEMMA4CTL_PORT",
            "context_length": "project file gemma4ctl.yaml",
            "tp": "flag",
            "mem_fraction": "user file",
        },
    )
    origins = {d.name: d.origin for d in plan.decisions}
    assert origins["port"] == "environment GEMMA4CTL_PORT"
    assert origins["context_length"] == "project file gemma4ctl.yaml"
    assert origins["tensor_parallel_size"] == "flag"
    assert origins["mem_fraction_static"] == "user file"
    assert origins["host"] == "rule"
