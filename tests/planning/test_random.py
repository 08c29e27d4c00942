"""Random requests on random hosts: a plan or a readable refusal, and no flag twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemma4ctl.errors import Gemma4ctlError, NoPlanError
from gemma4ctl.flags.parse import parse
from gemma4ctl.flags.table import load
from gemma4ctl.hardware.inventory import Device, Host, Inventory, Link
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.lookup import checkpoint
from gemma4ctl.rendering.command import argv, environment
from gemma4ctl.sglang_model import switches

from .hosts import gpu, mig, sick, table

NUMBERS = st.integers(-2, 300_000)
VALUED = [
    "--tp", "--tp-size", "--pp-size", "--dp-size", "--dp", "--context-length", "--page-size",
    "--mem-fraction-static", "--max-running-requests", "--max-total-tokens", "--port",
    "--chunked-prefill-size", "--swa-full-tokens-ratio", "--speculative-num-steps",
    "--speculative-num-draft-tokens", "--speculative-eagle-topk", "--random-seed",
]  # fmt: skip
WORDS = [
    "--attention-backend", "--prefill-attention-backend", "--host", "--kv-cache-dtype",
    "--quantization", "--speculative-algorithm", "--speculative-draft-model-path", "--model-path",
    "--api-key", "--config", "--lora-paths", "--no-such-flag", "--model-type",
]  # fmt: skip
BARE = ["--trust-remote-code", "--disable-radix-cache", "--enable-lora", "--enable-dp-attention"]
VALUES = [
    "triton", "trtllm_mha", "fa3", "aiter", "0.0.0.0", "fp8_e4m3", "NEXTN", "EAGLE3", "x", "",
    "google/gemma-4-31B-it-assistant",
]  # fmt: skip

extra = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(VALUED), NUMBERS.map(str) | st.floats(0, 2).map(str)),
        st.tuples(st.sampled_from(WORDS), st.sampled_from(VALUES)),
        st.sampled_from(VALUED).map(lambda flag: (f"{flag}=2",)),
        st.sampled_from(BARE).map(lambda flag: (flag,)),
    ),
    max_size=4,
).map(lambda groups: tuple(word for group in groups for word in group))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    variant = draw(st.sampled_from(list(table().variants)))
    names = [row.name for row in table().checkpoints if row.variant == variant]
    optional: dict[str, st.SearchStrategy[Any]] = {
        "model_path": st.sampled_from(["/models/a b", "own/model"]),
        "draft_path": st.sampled_from(["/models/draft", "google/gemma-4-E2B-it-assistant"]),
        "gpus": st.integers(1, 9) | st.lists(st.sampled_from("0123"), min_size=1).map(tuple),
        "tp": st.sampled_from([1, 2, 3, 4, 8, 16]),
        "mtp": st.booleans(),
        "modalities": st.lists(
            st.sampled_from(["text", "image", "audio"]), min_size=1, unique=True
        ).map(tuple),
        "context_length": st.integers(1, 300_000),
        "concurrency": st.integers(1, 5_000),
        "mem_fraction": st.just("auto") | st.floats(0.01, 0.99),
        "sglang_version": st.sampled_from([*table().releases, "0.5.10", "0.5.24", "x"]),
        "image": st.sampled_from(["lmsysorg/sglang:latest", "a/b:v0.5.20", "a/b@sha256:0"]),
        "objective": st.sampled_from(["latency", "balanced", "throughput"]),
        "kernels": st.sampled_from(["auto", "stock", "fused"]),
        "host": st.sampled_from(["127.0.0.1", "0.0.0.0", "::", "localhost"]),
        "api_key_config": st.just("/run/key.yaml"),
        "extra_args": extra,
    }
    chosen = draw(st.lists(st.sampled_from(list(optional)), unique=True, max_size=6))
    fields = {name: draw(optional[name]) for name in chosen}
    return Request(model=variant, checkpoint=draw(st.sampled_from(names)), **fields)


@st.composite
def devices(draw: st.DrawFn, index: int) -> Device:
    platform = draw(st.sampled_from(list(table().platforms)))
    if draw(st.integers(0, 7)) == 0:
        return mig(index, "H100", *draw(st.lists(st.integers(4_000, 60_000), max_size=3)))
    changes: dict[str, Any] = {}
    total = table().platforms[platform].memory_mib
    if total:
        changes["memory_free_mib"] = draw(st.none() | st.integers(0, total))
    if draw(st.integers(0, 9)) == 0:
        changes |= {"memory_total_mib": None, "memory_free_mib": None}
    if draw(st.integers(0, 9)) == 0:
        changes |= {
            "platform": None,
            "architecture": draw(st.sampled_from(["sm_75", "sm_89", None])),
        }
    status = draw(st.sampled_from(["ok"] * 8 + ["degraded", "lost", "unreadable", "unknown"]))
    return gpu(
        index,
        platform,
        health=sick(status),
        uuid=draw(st.sampled_from([None, f"GPU-{index:08x}-{platform}"])),
        visible=draw(st.integers(0, 7)) > 0,
        **changes,
    )


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    count = draw(st.sampled_from([0, 1, 1, 2, 2, 3, 4]))
    links = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda pair: pair[0] != pair[1]),
            max_size=3,
        )
    )
    version = st.sampled_from(["13.0", "12.8", "", "N/A"])
    return Inventory(
        source=draw(st.sampled_from(["nvml", "amdsmi", "file", "flag"])),
        devices=tuple(draw(devices(index)) for index in range(count)),
        links=tuple(Link(a=a, b=b, kind="nvlink") for a, b in links),
        host=Host(
            ram_total_mib=draw(st.none() | st.integers(1_000, 2_000_000)),
            cuda_driver_version=draw(st.none() | version),
            packages=draw(st.sampled_from([{}] * 8 + [{"sglang": "0.5.20"}, {"sglang": "?"}])),
        ),
    )


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=requests(), inventory=inventories())
def test_plan_or_readable_refusal(request: Request, inventory: Inventory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gemma4ctl.planning.engine.nearest", lambda *_: ())
        try:
            made = plan(request, inventory, table())
        except NoPlanError as error:
            assert error.needed and error.found and error.code
            return
        except Gemma4ctlError as error:
            assert error.exit_code == 2 and (error.needed or error.found or error.message)
            return
    words = argv(made)[2:]
    own = parse(request.extra_args, load(made.release))
    repeated = [p for p in parse(words, load(made.release)).problems if p.code == "duplicate-flag"]
    assert len(repeated) <= sum(p.code == "duplicate-flag" for p in own.problems)
    assert all(unit.health.status not in ("lost", "unreadable") for unit in made.hardware.units)
    assert len(made.hardware.units) == made.hardware.gpu_count
    assert environment(made).keys() <= {
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "ROCR_VISIBLE_DEVICES",
        "SGLANG_USE_AITER",
        *switches.fused_environment(),
        *switches.shared_kv_environment(),
    }
    assert checkpoint(table(), made.variant.name, made.variant.checkpoint)
