"""Prefill from SGLang's breakable CUDA graphs gives transformers' logits; what cannot is refused.

SGLang's own runner captures and replays, over graphs that :mod:`tests.sglang_model.graphs`
emulates: of what its Python does between captures, nothing is left in a replay.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gemma4ctl.sglang_model import adopt, prefill_graphs
from tests.sglang_model.kernels import interpreter

assert interpreter

CLOSE = 1e-4  # of the largest logit
TOKENS = 10  # of the captured batch
STEPS = ((4, 5), (5, 4), (1, 1))  # tokens of two requests: padded, after prefixes, decoded
IMAGE = 90  # the token that stands for one, in the checkpoints


@pytest.fixture(scope="module")
def rank(real_sglang: None) -> None:
    """This process, as the only rank of a server whose kernels are interpreted."""
    from gemma4ctl.sglang_model.kernels import runtime

    if not runtime.interpreted():
        pytest.skip("Triton would compile for the GPU; these models are on the CPU")
    importlib.import_module("tests.sglang_model.real").process()


@pytest.fixture
def emulated(rank: None) -> Iterator[Any]:
    """The module that makes requests, with its graphs."""
    graphs = importlib.import_module("tests.sglang_model.graphs")
    server = importlib.import_module("tests.sglang_model.server")
    with server.interpreted_kernels(), graphs.emulated():
        yield graphs


def model(case: str, folder: Path, *, fused: bool = True) -> tuple[Any, list[Any]]:
    """SGLang's model of a checkpoint, and transformers' logits of the prompts."""
    checkpoints = importlib.import_module("tests.sglang_model.checkpoints")
    server = importlib.import_module("tests.sglang_model.server")
    made = checkpoints.save(case, folder)
    if case == "26B-A4B":
        checkpoints.use_exact_gelu(made)
    return server.load(folder, fused=fused), checkpoints.logits(made)


def prompts() -> list[Any]:
    found: list[Any] = importlib.import_module("tests.sglang_model.checkpoints").prompts()
    return found


def logits(requests: Any, given: list[Any], steps: tuple[tuple[int, ...], ...]) -> list[Any]:
    """Logits [tokens, vocabulary] of the prompts, in steps of that many tokens."""
    import torch

    pieces = [prompt.split([*sizes, len(prompt) - sum(sizes)])
              for prompt, sizes in zip(given, zip(*steps, strict=True), strict=True)]  # fmt: skip
    made = [requests.step([each[at] for each in pieces]) for at in range(len(steps))]
    return [torch.cat(each) for each in zip(*made, strict=True)]


def difference(found: list[Any], expected: list[Any]) -> float:
    return max(
        float((ours - theirs[: len(ours)]).abs().max() / theirs.abs().max())
        for ours, theirs in zip(found, expected, strict=True)
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", ["E2B", "31B", "26B-A4B"])
def test_replays_agree_with_transformers(emulated: Any, tmp_path: Path, case: str) -> None:
    found, expected = model(case, tmp_path)
    requests = emulated.Requests([TOKENS], found, 2, 17)
    requests.decode_whole_windows()
    assert difference(logits(requests, prompts(), STEPS), expected) < CLOSE
    assert requests.replays == 2


@pytest.mark.timeout(300)
def test_a_placeholder_without_an_image(emulated: Any, tmp_path: Path) -> None:
    """Its per-layer embedding is that of padding, in a graph as outside."""
    found, _ = model("E2B", tmp_path)
    given = prompts()
    given[0][2] = IMAGE
    server = importlib.import_module("tests.sglang_model.server")
    expected = logits(server.Requests(found, 2, 17), given, STEPS[:1])
    requests = emulated.Requests([TOKENS], found, 2, 17)
    assert difference(logits(requests, given, STEPS[:1]), expected) < CLOSE
    found.language_model.placeholders = ()
    requests = emulated.Requests([TOKENS], found, 2, 17)
    assert difference(logits(requests, given, STEPS[:1]), expected) > 100 * CLOSE


@pytest.mark.timeout(300)
def test_slots_of_sliding_layers_do_not_belong_into_a_graph(
    emulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemma4ctl.sglang_model import layers

    monkeypatch.setattr(layers, "is_in_breakable_cuda_graph", lambda: False)
    found, expected = model("E2B", tmp_path)
    requests = emulated.Requests([TOKENS], found, 2, 17)
    assert difference(logits(requests, prompts(), STEPS[:2]), expected) > 100 * CLOSE


def test_sglang_alone_cannot_capture_gemma_4(emulated: Any, tmp_path: Path) -> None:
    """Where this fails, a newer SGLang may be compared with graphs of its own."""
    found, _ = model("E2B", tmp_path, fused=False)
    with pytest.raises(ValueError, match="exactly one of input_ids or inputs_embeds"):
        emulated.Requests([TOKENS], found, 2, 17)


@pytest.fixture
def graphs_asked(rank: None) -> Iterator[Any]:
    """Server arguments with breakable graphs of prefill."""
    from sglang.srt.model_executor.cuda_graph_config import Backend, CudaGraphConfig, PhaseConfig
    from sglang.srt.runtime_context import get_context, get_server_args

    config = CudaGraphConfig(
        decode=PhaseConfig(backend=Backend.FULL), prefill=PhaseConfig(backend=Backend.BREAKABLE)
    )
    with get_context().override_server_args(cuda_graph_config=config):
        yield get_server_args()


def test_what_the_graphs_cannot_hold(graphs_asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sglang.srt.environ import envs

    assert prefill_graphs.asked() and prefill_graphs.problem(graphs_asked) is None
    with ExitStack() as stack:
        stack.enter_context(envs.SGLANG_GEMMA_OUT_OF_PLACE_POSITION_MUTATION.override(True))
        assert "positions" in str(prefill_graphs.problem(graphs_asked))
    monkeypatch.setattr(graphs_asked, "speculative_algorithm", "FROZEN_KV_MTP")
    assert "speculative" in str(prefill_graphs.problem(graphs_asked))
    config = graphs_asked.cuda_graph_config
    monkeypatch.setattr(config.decode, "backend", "breakable")
    assert prefill_graphs.problem(graphs_asked) == "breakable CUDA graphs of decode"
    monkeypatch.setattr(config.prefill, "backend", "tc_piecewise")
    assert "piecewise" in str(prefill_graphs.problem(graphs_asked))
    monkeypatch.setattr(config.prefill, "backend", "disabled")
    monkeypatch.setattr(config.decode, "backend", "full")
    assert not prefill_graphs.asked() and prefill_graphs.problem(graphs_asked) is None


@pytest.mark.parametrize(("kept", "switched"), [(("norms",), True), (("attention",), False)])
def test_the_part_that_takes_both_ids_and_embeddings_is_needed(
    graphs_asked: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kept: tuple[str, ...],
    switched: bool,
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(adopt, "_problem", lambda text_model: None)
    monkeypatch.setattr(adopt, "_has", lambda text_model, part: part in kept)
    monkeypatch.setattr(adopt, "_kernel_problems", lambda *rest: {})
    monkeypatch.setattr(prefill_graphs, "keep_images_out", lambda: asked.append(True))
    monkeypatch.setattr(adopt, "_switch", lambda text_model, parts: None)
    text_model = SimpleNamespace(layers=[])
    adopt.adopt(SimpleNamespace(config=SimpleNamespace(image_token_id=IMAGE)), text_model)
    assert bool(asked) is switched
    assert ("stock, SimpleNamespace: breakable CUDA graphs without norms" in caplog.text) is (
        not switched
    )
    if switched:
        assert text_model.placeholders == (IMAGE,)


def test_batches_with_images_run_without_graphs(
    rank: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sglang.srt.model_executor.runner import PrefillCudaGraphRunner

    monkeypatch.setattr(PrefillCudaGraphRunner, "can_run_graph", lambda *_: True)
    prefill_graphs.keep_images_out()
    prefill_graphs.keep_images_out()  # once is enough
    for images in (True, False):
        batch = SimpleNamespace(contains_mm_inputs=lambda images=images: images)
        assert PrefillCudaGraphRunner.can_run_graph(None, batch) is not images
    assert not hasattr(PrefillCudaGraphRunner.can_run_graph.__wrapped__, "__wrapped__")
