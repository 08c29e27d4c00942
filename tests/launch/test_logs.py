"""The log parser on captured logs (see logs/captured/README.md) and on constructed lines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.launch.lines import LineSplitter
from gemma4ctl.launch.logs import (
    LogParser,
    Notice,
    PhaseEnded,
    PhaseStarted,
    Progress,
    Reported,
    parse,
)

CAPTURED = Path(__file__).parent / "logs" / "captured"


STARTS = Path(__file__).parents[2] / "benchmarks" / "results" / "starts"


def captured(name: str) -> list[str]:
    splitter = LineSplitter()
    lines = splitter.feed((CAPTURED / name).read_bytes()) + splitter.end()
    return [line.text for line in lines]


def test_a_captured_start_of_e2b_reports_everything():
    parser = parse(captured("e2b-ready.log"))
    assert parser.ready
    assert parser.reported == Reported(
        architecture="Gemma4ForConditionalGeneration",
        attention_backend="triton",
        mem_fraction_static=parser.reported.mem_fraction_static,
        free_gb_at_start=78.50,
        weights_gb=10.00,
        weights_seconds=1.07,
        free_gb_after_weights=68.50,
        kv_cache_dtype="bfloat16",
        kv_pools_gb=25.28,
        full_layer_tokens=728328,
        swa_layer_tokens=582662,
        free_gb_after_pools=41.71,
        graphs_gb=14.07,
        max_total_num_tokens=728328,
        chunked_prefill_size=8192,
        max_prefill_tokens=16384,
        max_running_requests=2845,
        context_len=131072,
        available_gpu_mem=27.51,
    )
    assert 0.3 < (parser.reported.mem_fraction_static or 0) < 0.95


def test_the_phases_of_a_captured_start_follow_the_stamps_of_its_lines():
    parser = parse(captured("e2b-ready.log"))
    assert parser.durations == {
        "starting": 46.0,
        "weights": 6.0,
        "pools": 0.0,
        "graphs": 111.0,
        "warmup": 14.0,
    }


def test_a_captured_start_with_a_small_pool():
    parser = parse(captured("e2b-small-pool-ready.log"))
    assert parser.ready
    assert parser.reported.full_layer_tokens == 4096
    assert parser.notices == ()


@pytest.mark.parametrize("path", sorted(STARTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_captured_start_reports_what_serve_recorded(path):
    record = json.loads(path.read_text())
    parser = parse(captured(Path(record["log"]).name))
    assert parser.ready
    assert asdict(parser.reported) == asdict(Reported()) | record["reported"]
    assert list(parser.durations) == list(record["phase_seconds"])
    starting = parser.durations.pop("starting")  # the first stamp comes after SGLang's import
    assert starting < record["phase_seconds"].pop("starting")
    assert parser.durations == pytest.approx(record["phase_seconds"], abs=1)  # whole seconds
    assert [asdict(notice) for notice in parser.notices] == record["notices"] == []


def test_a_captured_start_with_mtp_reports_the_draft_model():
    parser = parse(captured("e2b-mtp-tp1.log"))
    assert (parser.reported.weights_gb, parser.reported.draft_weights_gb) == (10.00, 0.13)
    assert "draft" in parser.durations
    assert parser.reported.max_running_requests == 48


def test_captured_retractions_are_noticed_once():
    lines = captured("e2b-retractions.log")
    assert sum("Retract requests." in line for line in lines) > 2
    parser = LogParser()
    events = [event for line in lines for event in parser.feed(line)]
    noticed = [event.code for event in events if isinstance(event, Notice)]
    assert noticed == ["swa_pool_full", "retraction"]
    assert parser.reported.full_layer_tokens == 4096


def test_a_captured_stop_is_no_trouble():
    lines = captured("e2b-ready-sigterm.log")
    assert any("SIGTERM received" in line for line in lines)
    parser = parse(lines)
    assert parser.ready
    assert parser.notices == ()


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("wrong-backend", "starting"),
        ("unknown-flag", "starting"),
        ("ambiguous-flag", "starting"),
        ("missing-model", "starting"),
        ("missing-draft", "starting"),
        ("out-of-memory-31b", "weights"),
        ("pool-too-small-31b", "weights"),
        ("swa-pool-too-small", "weights"),
        ("warmup-failed-missing-kernel", "warmup"),
        ("port-taken", "warmup"),
    ],
)
def test_captured_failures_never_look_ready(name, phase):
    parser = parse(captured(f"{name}.log"))
    assert not parser.ready
    assert parser.phase == phase
    assert parser.notices == ()
    assert parser.hopeless == (name == "port-taken")


def test_a_captured_log_of_a_taken_port_has_no_graph_memory():
    # another process ended meanwhile: SGLang prints mem usage=-9.80 GB
    reported = parse(captured("port-taken.log")).reported
    assert reported.graphs_gb is None
    assert reported.full_layer_tokens == 607867


# Constructed from the texts in the wheels of sglang 0.5.16 and 0.5.23.

MTP_ON_TWO_GPUS = """\
[2026-11-22 03:00:00 TP0] Load weight begin. avail mem=78.68 GB
[2026-11-22 03:00:00 TP1] Load weight begin. avail mem=77.00 GB
[2026-11-22 03:00:09 TP1] Load weight end. elapsed=8.11 s, type=Gemma4ForConditionalGeneration, \
avail mem=1.00 GB, mem usage=99.00 GB.
[2026-11-22 03:00:10 TP0] Load weight end. elapsed=9.11 s, type=Gemma4ForConditionalGeneration, \
quant=fp8, avail mem=54.00 GB, mem usage=24.68 GB.
[2026-11-22 03:00:11 TP0] Load weight begin. avail mem=54.00 GB
[2026-11-22 03:00:12 TP0] Load weight end. elapsed=0.50 s, type=Gemma4AssistantForCausalLM, \
avail mem=53.80 GB, mem usage=0.20 GB.
[2026-11-22 03:00:13 TP0] Use sliding window memory pool. full_layer_tokens=500, \
swa_layer_tokens=400
[2026-11-22 03:00:13 TP0] Capture target verify CUDA graph begin. backend=full, \
num_tokens_per_req=6, bs=[1], avail mem=10.00 GB
[2026-11-22 03:00:20 TP0] Capture target verify CUDA graph end. elapsed=7.00 s, \
mem usage=1.20 GB, avail mem=8.80 GB.
[2026-11-22 03:00:20 TP0] Capture Frozen-KV MTP draft cuda graph begin.
[2026-11-22 03:00:22 TP0] Capture draft decode CUDA graph end. elapsed=2.00 s, mem usage=0.15 GB, \
avail mem=8.65 GB.
[2026-11-22 03:00:22 TP0] Post-capture KV sizing: full_layer_tokens=600, swa_layer_tokens=480
[2026-11-22 03:00:23 TP0] max_total_num_tokens=600, chunked_prefill_size=None, \
max_prefill_tokens=16384, max_running_requests=48, context_len=262144, available_gpu_mem=8.65 GB
"""


def test_the_weights_of_draft_and_ranks_are_told_apart():
    parser = parse(MTP_ON_TWO_GPUS.splitlines())
    reported = parser.reported
    assert (reported.weights_gb, reported.draft_weights_gb) == (24.68, 0.20)
    assert (reported.full_layer_tokens, reported.swa_layer_tokens) == (600, 480)
    assert reported.graphs_gb == pytest.approx(1.35)
    assert reported.chunked_prefill_size is None
    assert reported.max_running_requests == 48
    assert parser.durations["weights"] == 11.0
    assert parser.durations["draft"] == 2.0


def test_events_of_a_phase_change_carry_seconds_and_figures():
    parser = LogParser()
    parser.feed("Load weight begin. avail mem=78.68 GB", at=100.0)
    parser.feed(
        "Load weight end. elapsed=2.11 s, type=X, avail mem=68.42 GB, mem usage=10.26 GB.", at=102.0
    )
    events = parser.feed("KV Cache is allocated. dtype: torch.bfloat16, #tokens: 5", at=103.5)
    assert events == [
        PhaseEnded("weights", 3.5, "10.26 GB, 68.42 GB free"),
        PhaseStarted("pools"),
    ]


@pytest.mark.parametrize(
    ("line", "done", "total"),
    [
        (
            "Capturing batches (bs=1 avail_mem=9.87 GB):  97%|█████████▋| 35/36 [00:05<00:00]",
            35,
            36,
        ),
        (
            "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.0s/it]",
            1,
            2,
        ),
        ("\x1b[32m 10%|#\x1b[0m         | 1/10 [00:05<00:00]", 1, 10),
    ],
)
def test_progress_bars(line, done, total):
    assert LogParser().feed(line) == [Progress("starting", done, total)]


def test_the_pull_of_an_image_is_a_phase():
    parser = LogParser()
    parser.feed("Unable to find image 'lmsysorg/sglang:v0.5.16' locally", at=1.0)
    assert parser.phase == "image"


READY = "[2026-11-22 03:00:00] The server is fired up and ready to roll!"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.", "out_of_memory"),
        ("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2 GiB.", "out_of_memory"),
        ("Prefill out of memory. Try to lower your batch size.", "out_of_memory"),
        ("retract_decode: aborted last request abc due to OOM", "request_aborted"),
        ("2 images are split across chunk boundaries. Below are", "images_split"),
        ("Health check failed. Server couldn't get a response from detokenizer for", "unhealthy"),
    ],
)
def test_trouble_is_noticed_once_on_any_rank_and_only_while_serving(line, code):
    parser = LogParser()
    stamped = f"[2026-11-22 03:00:01 TP1] {line}"
    assert parser.feed(stamped) == []
    parser.feed(READY)
    (notice,) = parser.feed(stamped)
    assert isinstance(notice, Notice)
    assert notice.code == code
    assert notice.remedy
    assert parser.feed(stamped) == []
    assert parser.notices == (notice,)


def test_a_half_full_sliding_pool_is_no_trouble():
    parser = parse(
        [READY, "Prefill batch, full token usage: 0.99, swa token usage: 0.94, #queue-req: 0"]
    )
    assert parser.notices == ()


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_random_bytes_never_raise(chunks):
    parser, splitter = LogParser(), LineSplitter(limit=64)
    for chunk in chunks:
        for line in splitter.feed(chunk) + splitter.end():
            parser.feed(line.text)
    assert isinstance(parser.reported, Reported)


_WORDS = st.sampled_from(
    ["[2026-99-99 99:99:99 TP0] ", "Load weight end. ", "elapsed=", "..", "1.5 s, type=A", READY,
     "avail mem=", "mem usage=", " GB", "full_layer_tokens=", "9" * 30, "swa token usage: ", "nan",
     "server_args=", "max_total_num_tokens=", "None", "50%|", "| 1/2 [", "\x1b[31m",
     "KV Cache is allocated."]
)  # fmt: skip


@given(st.lists(st.lists(_WORDS, max_size=12).map("".join), max_size=12))
def test_mangled_log_lines_never_raise(lines):
    parser = parse(lines)
    assert isinstance(parser.reported, Reported)
    assert all(seconds == seconds for seconds in parser.durations.values())


def test_what_the_model_module_says_is_read():
    """Constructed from the module's own texts (gemma4ctl/sglang_model/announce.py)."""
    stamp = "[2026-01-01 00:00:00 TP0]"
    parser = parse(
        [
            f"{stamp} Load weight begin. avail mem=78.50 GB",
            f"{stamp} gemma4ctl 0.1.0 kernels: fused, Gemma4ForConditionalGeneration, 35 layers: a",
            f"{stamp} Load weight end. elapsed=1 s, type=Gemma4ForConditionalGeneration",
            f"{stamp} gemma4ctl 0.1.0 KV: shared, 15 of 35 layers own KV",
            f"{stamp} Load weight begin. avail mem=68.50 GB",
            f"{stamp} gemma4ctl 0.1.0 kernels: stock, Gemma4AssistantForCausalLM: LoRA",
            f"{stamp} gemma4ctl 0.1.0 KV: shared, 4 draft layers not charged",
        ]
    )
    assert parser.reported.kernels == "fused, Gemma4ForConditionalGeneration, 35 layers: a"
    assert parser.reported.kv_pools == "shared, 15 of 35 layers own KV"


@pytest.mark.parametrize(
    ("line", "kernels", "kv_pools"),
    [
        ("gemma4ctl 0.1.0 kernels: stock, Gemma 4: LoRA", "stock, Gemma 4: LoRA", None),
        ("gemma4ctl 0.1.0 KV: stock: LMCache", None, "stock: LMCache"),
        ("Available plugins: gemma4ctl -> gemma4ctl.sglang_model.plugin:load", None, None),
    ],
)
def test_lines_of_the_model_module(line, kernels, kv_pools):
    reported = parse([line]).reported
    assert (reported.kernels, reported.kv_pools) == (kernels, kv_pools)
