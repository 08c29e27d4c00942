"""Diagnoses of captured failures (see logs/captured/README.md) and of constructed lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gemma4ctl.cli.app import app
from gemma4ctl.launch.causes import CAUSES
from gemma4ctl.launch.diagnose import SHOWN_LINES, SHOWN_WIDTH, diagnose
from gemma4ctl.launch.logs import parse

CAPTURED = Path(__file__).parent / "logs" / "captured"


CAPTURED_FAILURES = [
    ("out-of-memory-31b", "out-of-memory-weights", "weights do not fit"),
    ("pool-too-small-31b", "memory-fraction-too-low", "weights use what the memory fraction"),
    ("swa-pool-too-small", "swa-pool-too-small", "(93 tokens)"),
    ("port-taken", "port-in-use", "port"),
    ("wrong-backend", "attention-backend", "prefill=fa3, decode=fa3"),
    ("unknown-flag", "unknown-flag", "--attention-backnd triton"),
    ("ambiguous-flag", "ambiguous-flag", "--pp-max-micro-batch-size"),
    ("missing-model", "model-missing", "/tmp/models/E9B-it"),
    ("missing-draft", "draft-missing", "/tmp/models/E2B-it-absent"),
    ("warmup-failed-missing-kernel", "kernels-missing", "kernels"),
    ("26b-a4b-audio", "audio-without-tower", "audio"),
]
READY = [
    path
    for path in sorted(CAPTURED.glob("*.log"))
    if path.stem not in {name for name, _, _ in CAPTURED_FAILURES}
]


@pytest.mark.parametrize(("name", "code", "told"), CAPTURED_FAILURES)
def test_captured_failures(name, code, told):
    lines = (CAPTURED / f"{name}.log").read_text().splitlines()
    found = diagnose(lines, phase=parse(lines).phase, returncode=1)
    assert found.code == code
    assert told in found.message
    assert found.remedy
    assert 0 < len(found.lines) <= SHOWN_LINES
    assert not any("Traceback" in line or line.lstrip().startswith("File ") for line in found.lines)


# Constructed: texts of sglang 0.5.16 and 0.5.23 (wheels), torch, transformers, docker, uvicorn.
CUDA_OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB."
CONSTRUCTED = [
    (CUDA_OOM, "draft", "out-of-memory-weights"),
    (CUDA_OOM, "pools", "out-of-memory-pools"),
    (CUDA_OOM, "graphs", "out-of-memory-graphs"),
    (CUDA_OOM, "warmup", "out-of-memory-serving"),
    ("torch.OutOfMemoryError: HIP out of memory.", "weights", "out-of-memory-weights"),
    ("Exception: Capture cuda graph failed: CUDA out of memory.", "pools", "out-of-memory-graphs"),
    ("Exception: Capture cuda graph failed: bad launch", "graphs", "graph-capture"),
    (
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. "
        "Current value: mem_fraction_static=0.5",
        "weights",
        "memory-fraction-too-low",
    ),
    (
        "ValueError: Loaded weights leave no GPU memory for the KV cache under",
        "weights",
        "memory-fraction-too-low",
    ),
    ("RuntimeError: The memory capacity is unbalanced. Some GPUs", "starting", "gpus-unbalanced"),
    ("ValueError: nccl_port at 31000 is not available in 30 seconds.", "starting", "port-in-use"),
    ("OSError: [Errno 99] Cannot assign requested address", "warmup", "bind-address"),
    (
        "sglang serve: error: argument --tp-size: invalid int value: 'two'",
        "starting",
        "bad-flag-value",
    ),
    (
        "ValueError: Gemma4AssistantForCausalLM draft requires --speculative-algorithm NEXTN or "
        "EAGLE; EAGLE3 is not supported",
        "starting",
        "eagle3-draft",
    ),
    ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "starting", "gated-model"),
    (
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files in the "
        "disk cache and outgoing traffic has been disabled.",
        "starting",
        "offline-not-cached",
    ),
    ("RuntimeError: Cannot find any model weights with `/m`", "weights", "weights-missing"),
    ("OSError: Can't load tokenizer for '/m'.", "starting", "tokenizer"),
    ("KeyError: 'gemma4_assistant'", "starting", "transformers-too-old"),
    (
        "ValueError: The checkpoint has model type `gemma4_unified` but Transformers does not "
        "recognize this architecture.",
        "starting",
        "transformers-too-old",
    ),
    (
        "ValueError: Model architectures ['Gemma4UnifiedForConditionalGeneration'] are not "
        "supported for now. Supported architectures: []",
        "weights",
        "architecture-unsupported",
    ),
    ("AssertionError: size mismatch 640 vs 1536", "weights", "checkpoint-incompatible"),
    ("ModuleNotFoundError: No module named 'xgrammar'", "weights", "grammar-backend"),
    ("ModuleNotFoundError: No module named 'decord'", "starting", "package-missing"),
    (
        "Exception: flashinfer_python is installed with version 0.5, which is less than the "
        "minimum required version 0.6.14.",
        "starting",
        "package-mismatch",
    ),
    (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12080).",
        "starting",
        "driver-too-old",
    ),
    ("RuntimeError: No CUDA GPUs are available", "starting", "no-gpu"),
    ("RuntimeError: CUDA error: system not yet initialized", "starting", "fabric-manager"),
    (
        "CUDA error: no kernel image is available for execution on the device",
        "graphs",
        "gpu-unsupported",
    ),
    ("CUDA error: an illegal memory access was encountered", "warmup", "gpu-fault"),
    ("torch.distributed.DistBackendError: NCCL error in: x.cpp", "starting", "nccl"),
    ("Fatal Python error: Bus error", "starting", "shared-memory"),
    ("OSError: [Errno 28] No space left on device", "starting", "disk-full"),
    ("unable to mmap 49907246508 bytes from file", "weights", "host-mmap"),
    (
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 147456, "
        "Hardware limit: 101376.",
        "graphs",
        "kernel-shared-memory",
    ),
    ("RuntimeError: Could not find nvcc and default", "graphs", "compiler-missing"),
    (
        "RuntimeError: Rank 0 scheduler died during initialization (exit code: -9). If exit code",
        "weights",
        "worker-killed",
    ),
    (
        "RuntimeError: Rank 0 scheduler died during initialization (exit code: -11). If",
        "weights",
        "worker-crashed",
    ),
    ("Initialization failed. warmup error: Traceback", "warmup", "warmup"),
    (
        "docker: Error response from daemon: could not select device driver with capabilities",
        "starting",
        "container-no-gpu",
    ),
    (
        "docker: Error response from daemon: manifest for lmsysorg/sglang:v9 not found",
        "image",
        "image-missing",
    ),
    (
        "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
        "starting",
        "docker-daemon",
    ),
    (
        'docker: Conflict. The container name "/gemma4" is already in use by container',
        "starting",
        "container-name",
    ),
]


@pytest.mark.parametrize(("line", "phase", "code"), CONSTRUCTED)
def test_constructed_failures(line, phase, code):
    found = diagnose(["[2026-11-22 03:00:00] harmless", line, "end"], phase=phase, returncode=1)
    assert found.code == code
    assert "{" not in found.message
    assert line[:SHOWN_WIDTH] in found.lines


def test_every_cause_is_covered_by_a_test():
    tested = {code for _, _, code in CONSTRUCTED} | {code for _, code, _ in CAPTURED_FAILURES}
    assert {cause.code for cause in CAUSES} == tested


def test_remedies_name_commands_that_exist():
    named = {text for c in CAUSES for text in re.findall(r"`gemma4ctl ([^`]+)`", c.remedy)}
    assert "profiles list releases" in named
    for command in named:
        words = command.split() if command.startswith("profiles") else [*command.split(), "--help"]
        assert CliRunner().invoke(app, words).exit_code == 0, command


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_no_cause_matches_a_healthy_start(path):
    lines = path.read_text().splitlines()
    assert diagnose(lines, phase="ready", returncode=3).code == "unknown"


def test_a_request_with_audio_that_ended_the_server_has_a_flag_as_remedy():
    lines = (CAPTURED / "26b-a4b-audio.log").read_text().splitlines()
    found = diagnose(lines, phase="ready", returncode=137)  # SGLang kills itself
    assert "memory" not in found.message
    assert "-- --limit-mm-data-per-request '{\"audio\": 0}'" in found.remedy
    assert any("does not have an audio tower" in line for line in found.lines)


UNKNOWN_EXCEPTION = [  # the captured end, with an exception that nobody has met
    "[2026-11-22 13:58:34] Scheduler hit an exception: Traceback (most recent call last):",
    '  File "/site/sglang/srt/managers/scheduler.py", line 4639, in run_scheduler_process',
    "    scheduler.run_event_loop()",
    "KeyError: 'first'",
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    "Traceback (most recent call last):",
    '  File "/site/sglang/srt/models/gemma4_mm.py", line 528, in get_audio_feature',
    "    raise IndexError(",
    "    ^^^^^^^^^^^^^^^^^",
    "some.module.IndexError: no such slot",
    "What to do about it is written elsewhere",
    "[2026-11-22 13:58:34] SIGQUIT received. signum=None, frame=None. It usually means one child "
    "failed.",
    "Warning: not of the traceback",
]


@pytest.mark.parametrize("returncode", [-9, 137, 1])
def test_an_exception_that_ended_the_scheduler_is_named(returncode):
    found = diagnose(UNKNOWN_EXCEPTION, phase="ready", returncode=returncode)
    assert found.code == "scheduler-exception"
    assert found.message == (
        "SGLang's scheduler met an exception while serving: some.module.IndexError: no such slot"
    )
    assert "some.module.IndexError: no such slot" in found.lines


def test_an_exception_whose_end_is_not_in_the_log_is_still_the_cause():
    found = diagnose(UNKNOWN_EXCEPTION[:3], phase="graphs", returncode=137)
    assert found.code == "scheduler-exception"
    assert found.message.endswith("an exception while capturing CUDA graphs: see the log")


@pytest.mark.parametrize(
    ("returncode", "code"),
    [(None, "not-ready-in-time"), (-9, "killed"), (137, "killed"), (-11, "signal"), (3, "unknown")],
)
def test_an_unknown_cause_is_told_by_how_the_server_ended(returncode, code):
    found = diagnose(["one", "two"], phase="weights", returncode=returncode)
    assert found.code == code
    assert found.lines == ("one", "two")
    assert "loading weights" in found.message


@pytest.mark.parametrize(
    "line",
    [
        "server_args=ServerArgs(x='CUDA out of memory')",
        "Ignore import error when loading sglang.srt.models.x: cannot import name 'Y' from "
        "'transformers.models'",
        "/site/x.py:1: UserWarning: CUDA out of memory",
    ],
)
def test_arguments_passed_over_imports_and_warnings_are_no_evidence(line):
    assert diagnose([line], returncode=1).code == "unknown"


def test_the_hub_answers_401_for_a_name_that_does_not_exist():
    lines = [
        "401 Client Error. Repository Not Found for url: https://huggingface.co/api/models/a/b",
        "OSError: a/b is not a local folder and is not a valid model identifier listed on",
    ]
    assert diagnose(lines, returncode=1).code == "model-missing"


def test_no_output_at_all():
    assert diagnose([], returncode=127).lines == ()
