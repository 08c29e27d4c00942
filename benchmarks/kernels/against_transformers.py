"""Tiny Gemma 4 models in SGLang, stock and fused, against transformers; on a CPU.

    python3 benchmarks/kernels/against_transformers.py OUT [--cases E2B 31B]

Needs torch, triton, transformers and SGLang's Python sources, no GPU. Each model has the structure
of a published one and random weights of one seed, saved by transformers. SGLang loads that
checkpoint with its own code, once with its own classes and once with gemma4ctl's; its attention
and the fused kernels run in Triton's interpreter. Compared are the logits of every position of
several prompts: of one prefill, of chunks, and decoded token by token; and of one prefill on two
ranks (tensor parallelism). About half an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tests.sglang_model.kernels import interpreter  # noqa: E402 - before Triton is imported

assert interpreter

import torch  # noqa: E402
from shared import write  # noqa: E402
from triton.runtime.interpreter import InterpretedFunction  # noqa: E402

import gemma4ctl  # noqa: E402
from tests.sglang_model import checkpoints, faults, real, server, stubs  # noqa: E402

CLOSE = 1e-4  # the largest difference of two logits, as a part of the largest logit
SEEN = 100 * CLOSE  # what a fault must change
PREFIX = 7  # tokens of each prompt before it is decoded, one less than the window
WAYS = ("prefill", "two chunks", "three chunks", "decode")
PACKAGES = ("sglang", "transformers", "torch", "triton")


def steps(way: str, prompts: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The prompts as the steps in which a server computes them."""
    if way == "prefill":
        return [list(prompts)]
    if way.endswith("chunks"):
        count = {"two": 2, "three": 3}[way.split()[0]]
        parts = [prompt.split(-(-len(prompt) // count)) for prompt in prompts]
        return [list(step) for step in zip(*parts, strict=True)]
    shortest = min(map(len, prompts))
    later = ([prompt[at : at + 1] for prompt in prompts] for at in range(PREFIX, shortest))
    return [[prompt[:PREFIX] for prompt in prompts], *later]


def logits(requests: server.Requests, way: str, prompts: Sequence[torch.Tensor]) -> list[Any]:
    """Logits of the prompts, each [tokens, vocabulary]."""
    with server.interpreted_kernels():
        found = [requests.step(step) for step in steps(way, prompts)]
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def difference(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """The largest difference of two logits, as a part of the largest logit."""
    return max(
        float((ours - theirs[: len(ours)]).abs().max() / theirs.abs().max())
        for ours, theirs in zip(found, expected, strict=True)
    )


def first_differing(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> int:
    """The first position at which logits are not close, in any prompt."""
    off = [
        (ours - theirs[: len(ours)]).abs().amax(-1) > CLOSE * theirs.abs().max()
        for ours, theirs in zip(found, expected, strict=True)
    ]
    return min(int(each.nonzero()[0]) for each in off)


def requests(model: Any, prompts: Sequence[torch.Tensor]) -> server.Requests:
    """Requests for the prompts, with KV pools for the layers that own KV."""
    config = model.server.hf_text_config
    own = config.num_hidden_layers - (getattr(config, "num_kv_shared_layers", 0) or 0)
    return server.Requests(model, len(prompts), max(map(len, prompts)), own)


@contextmanager
def counted_kernels() -> Iterator[Counter[str]]:
    """Launches of gemma4ctl's kernels by name."""
    found: Counter[str] = Counter()
    run = InterpretedFunction.run

    def counting(self: Any, *given: Any, **options: Any) -> Any:
        if self.fn.__module__.startswith("gemma4ctl."):
            found[f"{self.fn.__module__.rpartition('.')[2]}.{self.fn.__name__}"] += 1
        return run(self, *given, **options)

    with patch.object(InterpretedFunction, "run", counting):
        yield found


def agreement(folder: Path, fused: bool, expected: Sequence[torch.Tensor]) -> dict[str, Any]:
    """How far a contender's logits are from transformers', way by way."""
    prompts, made = checkpoints.prompts(), {}
    with counted_kernels() as kernels:
        for way in WAYS:
            batch = requests(server.load(folder, fused=fused), prompts)
            batch.decode_whole_windows()
            made[way] = difference(logits(batch, way, prompts), expected)
    return {"differences": made, "fused_kernels": dict(sorted(kernels.items()))}


def controls(
    case: str, folder: Path, fused: bool, expected: Sequence[torch.Tensor]
) -> dict[str, float]:
    """How far logits are off with each fault."""
    prompts, found = checkpoints.prompts(), {}
    for fault in faults.OF_CASES[case]:
        with ExitStack() as stack:
            batch = requests(server.load(folder, fused=fused), prompts)
            fault(batch, stack)
            found[fault.__name__] = difference(logits(batch, "two chunks", prompts), expected)
    return found


def decode_as_released(folder: Path, expected: Sequence[torch.Tensor]) -> dict[str, Any]:
    """SGLang's decode with its own idea of a window, which is a token short."""
    prompts = checkpoints.prompts()
    found = logits(requests(server.load(folder, fused=False), prompts), "decode", prompts)
    return {
        "difference": difference(found, expected),
        "first_position": first_differing(found, expected),
    }


def without_router_scale(folder: Path, expected: Sequence[torch.Tensor]) -> float:
    """SGLang's router as its PyTorch norm computes it, on ROCm and CPUs."""
    prompts = checkpoints.prompts()
    batch = requests(server.load(folder, fused=False), prompts)
    for layer in server.text(batch.model).layers:
        layer.router.norm.with_scale = False
    return difference(logits(batch, "prefill", prompts), expected)


def compare(case: str, folder: Path) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """The record of one model, and the logits that SGLang's are to agree with."""
    model = checkpoints.save(case, folder)
    expected, known = checkpoints.logits(model), {}
    if case == "26B-A4B":
        published = expected
        checkpoints.use_exact_gelu(model)
        expected = checkpoints.logits(model)
        known["gelu_of_experts"] = difference(expected, published)
        known["router_without_scale"] = without_router_scale(folder, expected)
    known["decode_as_released"] = decode_as_released(folder, expected)
    everything = torch.cat(expected)
    return {
        "structure": checkpoints.TEXT | checkpoints.TEXTS[case],
        "class": type(model).__name__,
        "largest_logit": float(everything.abs().max()),
        "spread_of_logits": float(everything.std()),
        "distinct_greedy_tokens": len(everything.argmax(-1).unique()),
        "transformers_with_its_cache": difference(checkpoints.cached_logits(model), expected),
        "stock": agreement(folder, False, expected),
        "fused": agreement(folder, True, expected),
        "controls": {
            name: controls(case, folder, fused, expected)
            for name, fused in (("stock", False), ("fused", True))
        },
        "known_differences": known,
    }, expected


def of_a_rank(rank: int, meeting: str, folder: Path) -> dict[str, list[Any]]:
    """Logits of one prefill by one of two ranks, as arrays: stock, fused, and without sums."""
    stubs.install()
    real.process(rank, 2, meeting)
    from sglang.srt.layers import linear

    prompts, found = checkpoints.prompts(), {}
    for name in ("stock", "fused", "stock_without_sums_over_ranks"):
        with ExitStack() as stack:
            if name.endswith("ranks"):
                alone = patch.object(linear, "tensor_model_parallel_all_reduce", lambda part: part)
                stack.enter_context(alone)
            batch = requests(server.load(folder, fused=name == "fused"), prompts)
            found[name] = [each.numpy() for each in logits(batch, "prefill", prompts)]
    return found


def on_two_ranks(folder: Path, expected: Sequence[torch.Tensor]) -> dict[str, float]:
    """How far logits of two ranks are off, the further one of both; they talk through gloo."""
    meeting = str(folder / "meeting")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        tasks = [pool.submit(of_a_rank, rank, meeting, folder) for rank in range(2)]
        ranks = [task.result() for task in tasks]
    return {
        name: max(difference(list(map(torch.from_numpy, rank[name])), expected) for rank in ranks)
        for name in ranks[0]
    }


def passed(found: dict[str, Any]) -> bool:
    """Whether everything agrees, every fault is seen, and the kernels ran where they should."""
    stock, fused, ranks = found["stock"], found["fused"], found["two_ranks"]
    return (
        all(value < CLOSE for each in (stock, fused) for value in each["differences"].values())
        and all(value > SEEN for each in found["controls"].values() for value in each.values())
        and max(ranks["stock"], ranks["fused"]) < CLOSE
        and ranks["stock_without_sums_over_ranks"] > SEEN
        and not stock["fused_kernels"]
        and bool(fused["fused_kernels"])
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder of the result files, one a model")
    cases = list(checkpoints.TEXTS)
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases)
    options = parser.parse_args()
    stubs.install()
    real.process()
    verdicts = []
    for case in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            found, expected = compare(case, Path(folder))
            found["two_ranks"] = on_two_ranks(Path(folder), expected)
        verdicts.append(passed(found))
        name = f"{case}-against-transformers.json"
        write(options.output / name, {**header(case), "passed": verdicts[-1], **found})
        print(case, "agrees" if verdicts[-1] else "DIFFERS", flush=True)
    return 0 if all(verdicts) else 1


def header(case: str) -> dict[str, Any]:
    """What was compared, with what."""
    return {
        "variant": case,
        "metric": "largest difference of logits of a tiny model, as a part of the largest logit",
        "gpu": None,
        "dtype": "float32",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "gemma4ctl_version": gemma4ctl.__version__,
        **{f"{name}_version": importlib.metadata.version(name) for name in PACKAGES},
        "command": f"python3 benchmarks/kernels/{Path(__file__).name} OUT --cases {case}",
        "seed": checkpoints.SEED,
        "tokens_of_prompts": checkpoints.LENGTHS,
        "bound": CLOSE,
        "faults_exceed": SEEN,
    }


if __name__ == "__main__":
    sys.exit(main())
