"""Tiny models in SGLang, stock and fused, give the logits that transformers gives. Runs on a CPU.

transformers makes the checkpoints, SGLang loads them with its own code, and its attention and the
fused kernels run in Triton's interpreter. ``benchmarks/kernels/against_transformers.py`` does the
same at more length, and with two ranks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.sglang_model.kernels import interpreter

assert interpreter

CASES = ("E2B", "31B", "26B-A4B", "12B")
CLOSE = 1e-4  # of the largest logit
FILLED = 7  # the first position whose window is full
CHUNKS = [9, 2]  # of few tokens the second, for which there are kernels of their own
FAULTS = (
    ("E2B", "residual"),
    ("E2B", "layer_scalar"),
    ("E2B", "window"),
    ("E2B", "slots"),
    ("E2B", "shared_kv"),
    ("E2B", "per_layer_embeddings"),
    ("31B", "values_as_keys"),
    ("26B-A4B", "expert_scale"),
)


@pytest.fixture(scope="module")
def rank(real_sglang: None) -> None:
    """This process, as the only rank of a server whose kernels are interpreted."""
    from gemma4ctl.sglang_model.kernels import runtime

    if not runtime.interpreted():
        pytest.skip("Triton would compile for the GPU; these models are on the CPU")
    importlib.import_module("tests.sglang_model.real").process()


@pytest.fixture(scope="module")
def tiny(rank: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The folder of a checkpoint, a prompt and transformers' logits of it, by case.

    Experts compute the GELU of SGLang's; that it is another is a test of its own.
    """
    checkpoints = importlib.import_module("tests.sglang_model.checkpoints")

    @cache
    def made(case: str) -> tuple[Path, Any, Any]:
        folder = tmp_path_factory.mktemp(case)
        model = checkpoints.save(case, folder)
        if case == "26B-A4B":
            checkpoints.use_exact_gelu(model)
        return folder, checkpoints.prompts()[-1], checkpoints.logits(model)[-1]

    return made


@pytest.fixture
def computed(rank: None) -> Iterator[Callable[..., Any]]:
    """Logits by SGLang of a prompt that comes in pieces of ``sizes`` tokens."""
    import torch

    server = importlib.import_module("tests.sglang_model.server")
    with ExitStack() as stack:
        stack.enter_context(server.interpreted_kernels())

        def logits(
            folder: Path,
            prompt: Any,
            sizes: list[int],
            *,
            fused: bool = False,
            released: bool = False,
            fault: Callable[..., None] | None = None,
        ) -> Any:
            requests = server.Requests(server.load(folder, fused=fused), 1, len(prompt))
            if not released:
                requests.decode_whole_windows()
            if fault is not None:
                fault(requests, stack)
            return torch.cat([requests.step([part])[0] for part in prompt.split(sizes)])

        yield logits


def difference(found: Any, expected: Any) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("fused", [False, True], ids=["stock", "fused"])
@pytest.mark.parametrize("case", CASES)
def test_prefill_in_chunks(tiny: Any, computed: Any, case: str, fused: bool) -> None:
    folder, prompt, expected = tiny(case)
    assert expected.std() > 1
    assert difference(computed(folder, prompt, CHUNKS, fused=fused), expected) < CLOSE


@pytest.mark.timeout(300)  # the interpreter is slow where other tests run beside it
@pytest.mark.parametrize("fused", [False, True], ids=["stock", "fused"])
@pytest.mark.parametrize("case", CASES)
def test_decode_with_a_cache(tiny: Any, computed: Any, case: str, fused: bool) -> None:
    folder, prompt, expected = tiny(case)
    sizes = [10, 1] if fused else [9, 1, 1]
    assert difference(computed(folder, prompt, sizes, fused=fused), expected) < CLOSE


def test_decode_of_sglang_sees_a_key_less(tiny: Any, computed: Any) -> None:
    """SGLang 0.5.16 as released: from the token on that fills the window, decode is another."""
    folder, prompt, expected = tiny("E2B")
    found = computed(folder, prompt, [6, 1, 1, 1, 1, 1], released=True)
    assert difference(found[:FILLED], expected[:FILLED]) < CLOSE
    assert difference(found[FILLED:], expected[FILLED:]) > 100 * CLOSE


def test_the_gelu_of_experts_is_another(tiny: Any, tmp_path: Path) -> None:
    """transformers' experts use the approximation by tanh, as the configuration says."""
    checkpoints = importlib.import_module("tests.sglang_model.checkpoints")
    _, _, by_error_function = tiny("26B-A4B")
    by_tanh = checkpoints.logits(checkpoints.save("26B-A4B", tmp_path))[-1]
    assert 10 * CLOSE < difference(by_error_function, by_tanh) < 0.02


@pytest.mark.parametrize(("case", "name"), FAULTS)
def test_a_fault_in_stock_is_seen(tiny: Any, computed: Any, case: str, name: str) -> None:
    faults = importlib.import_module("tests.sglang_model.faults")
    folder, prompt, expected = tiny(case)
    found = computed(folder, prompt, CHUNKS, fault=getattr(faults, name))
    assert difference(found, expected) > 100 * CLOSE


@pytest.mark.parametrize("name", ["residual", "layer_scalar", "slots", "softcap"])
def test_a_fault_in_fused_layers_is_seen(tiny: Any, computed: Any, name: str) -> None:
    faults = importlib.import_module("tests.sglang_model.faults")
    folder, prompt, expected = tiny("E2B")
    found = computed(folder, prompt, CHUNKS, fused=True, fault=getattr(faults, name))
    assert difference(found, expected) > 100 * CLOSE
