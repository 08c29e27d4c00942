"""Measure with SGLang's own client, ``python -m sglang.bench_serving``, and read its results.

Its ``random`` dataset takes words from a file of ShareGPT conversations, which it would download.
A file of that form with random words serves as well: lengths are drawn before, and texts are
repeated or cut to them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.summary import Distribution, Summary
from gemma4ctl.bench.workload import TEXT_TOKENS, Workload, is_published
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import ProblemsFoundError, UsageError
from gemma4ctl.launch.install import find_sglang
from gemma4ctl.launch.processes import die_with_parent

BACKENDS: dict[Api, str] = {
    "generate": "sglang",
    "completions": "sglang-oai",
    "chat": "sglang-oai-chat",
}
KEY_VARIABLE = "OPENAI_API_KEY"  # where it looks for the key
SHOWN_LINES = 15  # of its output, when it fails
GENERATED = "prompts are random words instead of ShareGPT conversations, of the same lengths"
SEEDED = "--seed 1, which older releases took by default, draws the published lengths"
FLUSHED = "--flush-cache, so that a repeated run does not find its prompts cached"


@dataclass(frozen=True)
class Served:
    """What one run of ``bench_serving`` gave, and the command that ran."""

    started: str
    summary: Summary
    command: tuple[str, ...]


def python_with_sglang(environment: Mapping[str, str] = os.environ) -> str | None:
    """The interpreter that has SGLang; None when there is none."""
    install = find_sglang(environment)
    return install.python if install and "sglang" in install.versions else None


def notes(workload: Workload, dataset: Path | None) -> tuple[str, ...]:
    """What is different from the published procedure."""
    generated = () if dataset or workload.images else (GENERATED,)
    seeded = (SEEDED,) if is_published(workload) else ()
    return (*generated, *seeded, FLUSHED)


def measure(
    endpoint: Endpoint,
    workload: Workload,
    *,
    api: Api,
    python: str,
    dataset: Path | None = None,
    token_ids: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Served:
    """Run ``workload`` once with the SGLang of the interpreter ``python``.

    Args:
        dataset: a file of ShareGPT conversations; None: one with random words is made.
        token_ids: send these, as the built-in client does, and not text, which the server has to
            tokenize first. Only prompts without images, through ``generate``.

    Raises:
        ProblemsFoundError: it failed, or left no results.
    """
    with tempfile.TemporaryDirectory(prefix="gemma4ctl-bench-") as folder:
        results, log = Path(folder) / "results.jsonl", Path(folder) / "log"
        if dataset is None and not workload.images:
            dataset = Path(folder) / "prompts.json"
            dataset.write_text(json.dumps(conversations(workload)))
        dataset = dataset and dataset.resolve()
        words = command(endpoint, workload, api, python, results, dataset, token_ids=token_ids)
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        _run(words, endpoint, log, environment)
        return Served(started, read_results(results, workload, log), words)


def command(
    endpoint: Endpoint,
    workload: Workload,
    api: Api,
    python: str,
    results: Path,
    dataset: Path | None,
    *,
    token_ids: bool = False,
) -> tuple[str, ...]:
    """The command line of ``bench_serving``, with the arguments of the published runs.

    Those sent text; ``token_ids`` sends the tokens of the same texts.
    """
    kind = ["random", *(["--dataset-path", str(dataset)] if dataset else [])]
    if workload.images:
        kind = ["image", "--image-count", str(workload.images)]
        kind += ["--image-resolution", _resolution(workload)]
    return (
        *(python, "-m", "sglang.bench_serving"),
        *("--backend", BACKENDS[api]),
        *("--base-url", endpoint.url),
        *("--dataset-name", *kind),
        *("--random-input-len", str(workload.input_tokens)),
        *("--random-output-len", str(workload.output_tokens)),
        *("--random-range-ratio", f"{workload.range_ratio:g}"),
        *("--num-prompts", str(workload.requests)),
        *("--max-concurrency", str(workload.concurrency)),
        *("--seed", str(workload.seed)),
        *(["--tokenize-prompt"] if token_ids else []),
        "--flush-cache",
        "--disable-tqdm",
        *("--output-file", str(results)),
    )


def _resolution(workload: Workload) -> str:
    """The size of the images, in the spelling of the published runs where it is theirs."""
    size = f"{workload.image_height}x{workload.image_width}"
    return {"720x1280": "720p"}.get(size, size)


def conversations(workload: Workload) -> list[dict[str, Any]]:
    """Conversations of random words, each long enough for the longest prompt of ``workload``."""
    content = random.Random(f"conversations of {workload.seed}")  # noqa: S311
    return [
        {
            "conversations": [
                {"value": _text(content, length)} for length in (workload.input_tokens, 1)
            ]
        }
        for _ in range(workload.requests)
    ]


def _text(content: random.Random, length: int) -> str:
    """So many words, by turns numbers and letters: numbers alone are few different tokens."""
    numbers = (f"t{token}" for token in content.choices(TEXT_TOKENS, k=length))
    return " ".join(
        number if place % 2 else "".join(content.choices(ascii_lowercase, k=content.randint(3, 8)))
        for place, number in enumerate(numbers)
    )


def _run(
    words: Sequence[str], endpoint: Endpoint, log: Path, environment: Mapping[str, str]
) -> None:
    """Run ``words`` to the end, output to ``log``; the key goes through the environment.

    ``python -m`` also imports from the working directory, so that is the folder of the log.
    """
    key = {KEY_VARIABLE: endpoint.api_key} if endpoint.api_key else {}
    with log.open("wb") as output:
        try:
            ended = subprocess.run(
                words,
                cwd=log.parent,
                env={**environment, **key},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                preexec_fn=die_with_parent(),  # safe: see its docstring
            )
        except OSError as error:
            raise UsageError(
                f"{words[0]} does not run: {error.strerror}", code="bench-python"
            ) from None
    if ended.returncode != 0:
        raise _failed(f"ended with status {ended.returncode}", log)


def read_results(results: Path, workload: Workload, log: Path) -> Summary:
    """The figures of the last run in ``results``.

    Raises:
        ProblemsFoundError: there are none; ``log`` may say why.
    """
    try:
        found = json.loads(results.read_text(encoding="utf-8").splitlines()[-1])
        return _summary(found, workload)
    except (OSError, ValueError, LookupError, TypeError):
        raise _failed("left no results", log) from None


def _summary(found: Mapping[str, Any], workload: Workload) -> Summary:
    lost = workload.requests - found["completed"]
    return Summary(
        seconds=found["duration"],
        completed=found["completed"],
        failed={"not-completed": lost} if lost else {},
        input_tokens=found["total_input_tokens"],
        output_tokens=found["total_output_tokens"],
        request_throughput=found["request_throughput"],
        input_throughput=found["input_throughput"],
        output_throughput=found["output_throughput"],
        total_throughput=found["input_throughput"] + found["output_throughput"],
        peak_output_throughput=found.get("max_output_tokens_per_s", 0.0),
        concurrency=found["concurrency"],
        peak_concurrency=found.get("max_concurrent_requests", 0),
        ttft_ms=_distribution(found, "ttft_ms"),
        tpot_ms=_distribution(found, "tpot_ms"),
        itl_ms=_distribution(found, "itl_ms"),
        e2e_ms=_distribution(found, "e2e_latency_ms"),
        accept_length=found.get("accept_length"),
    )


def _distribution(found: Mapping[str, Any], name: str) -> Distribution:
    return Distribution(
        mean=found[f"mean_{name}"],
        median=found[f"median_{name}"],
        p90=found.get(f"p90_{name}"),
        p99=found.get(f"p99_{name}"),
        std=found.get(f"std_{name}"),
    )


def _failed(what: str, log: Path) -> ProblemsFoundError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return ProblemsFoundError(
        f"sglang.bench_serving {what}",
        found="\n         ".join(lines[-SHOWN_LINES:]) or "no output",
        remedies=["--client builtin measures without it"],
        code="bench-serving",
    )
