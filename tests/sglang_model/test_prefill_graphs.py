"""Prefill from SGLang's breakable CUDA graphs gives transformers' logits; what cannot is refused.

SGLang's own runner captures and replays, over graphs that :mod:`tests.sglang_model.graphs`
emulates: of what its Python does between captures, nothing is left in a replay.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gemma4ctl.sglang_model import adopt, prefill_graphs, switches
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


SIZES = {switches.PREFILL_GRAPHS_VARIABLE: "512,64,4096"}
ALL = switches.PARTS


@pytest.fixture
def arguments(rank: None) -> Iterator[Any]:
    """SGLang's arguments for a model with images: prefill without graphs."""
    from sglang.srt.model_executor.cuda_graph_config import Backend, CudaGraphConfig, PhaseConfig
    from sglang.srt.model_executor.runner import PrefillCudaGraphRunner
    from sglang.srt.runtime_context import get_context, get_server_args

    config = CudaGraphConfig(
        decode=PhaseConfig(backend=Backend.FULL), prefill=PhaseConfig(backend=Backend.DISABLED)
    )
    given = {"cuda_graph_config": config, "chunked_prefill_size": 2048}
    with get_context().override_server_args(**given), pytest.MonkeyPatch.context() as patch:
        patch.setattr(get_server_args(), "_cuda_graph_config_locked", set(), raising=False)
        patch.setattr(PrefillCudaGraphRunner, "can_run_graph", lambda *_: True)
        yield get_server_args()


def by_flag(arguments: Any, backend: str) -> None:
    """What ``--cuda-graph-backend-prefill`` leaves."""
    arguments.cuda_graph_config.prefill.backend = backend
    arguments.cuda_graph_config.prefill.bs = [32]
    arguments._cuda_graph_config_locked.add(("prefill", "backend"))


def arranged(arguments: Any, parts: Sequence[str], environment: Mapping[str, str]) -> Any:
    prefill_graphs.arrange(arguments, parts, environment)
    return arguments.cuda_graph_config.prefill


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "gemma4ctl")
    return caplog


def test_the_variable_asks_for_graphs_that_fit_a_chunk(
    arguments: Any, said: pytest.LogCaptureFixture
) -> None:
    from sglang.srt.model_executor.cuda_graph_config import Backend, Phase, check_cuda_graph_backend
    from sglang.srt.model_executor.runner import PrefillCudaGraphRunner

    prefill = arranged(arguments, ALL, SIZES)
    assert (prefill.bs, prefill.max_bs) == ([64, 512], 512)
    assert check_cuda_graph_backend(Phase.PREFILL, Backend.BREAKABLE)
    assert "prefill: graphs of 64, 512 tokens" in said.text
    images = SimpleNamespace(contains_mm_inputs=lambda: True)
    assert not PrefillCudaGraphRunner.can_run_graph(None, images)


@pytest.mark.parametrize("environment", [{}, {switches.PREFILL_GRAPHS_VARIABLE: " "}])
def test_nothing_is_changed_or_said_unasked(
    arguments: Any, said: pytest.LogCaptureFixture, environment: dict[str, str]
) -> None:
    assert arranged(arguments, ALL, environment).backend == prefill_graphs.DISABLED
    assert not said.text


@pytest.mark.parametrize("backend", ["disabled", "full", "tc_piecewise"])
def test_a_flag_outweighs_the_variable(
    arguments: Any, said: pytest.LogCaptureFixture, backend: str
) -> None:
    by_flag(arguments, backend)
    prefill = arranged(arguments, ALL, SIZES)
    assert (prefill.backend, prefill.bs, said.text) == (backend, [32], "")


def test_the_flag_alone_is_enough(arguments: Any, said: pytest.LogCaptureFixture) -> None:
    by_flag(arguments, prefill_graphs.BREAKABLE)
    prefill = arranged(arguments, ALL, SIZES)
    assert (prefill.backend, prefill.bs) == (prefill_graphs.BREAKABLE, [32])
    assert "prefill: graphs of 32 tokens" in said.text


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize(
    ("parts", "changed", "reason"),
    [
        ((), {}, "SGLang's own layers"),
        (("attention",), {}, "the norms are not fused"),
        (ALL, {"speculative_algorithm": "FROZEN_KV_MTP"}, "speculative decoding"),
        (ALL, {"tp_size": 2}, "tensor parallelism"),
        (ALL, {"disaggregation_mode": "prefill"}, "prefill/decode disaggregation"),
        (ALL, {"enable_memory_saver": True}, "--enable-memory-saver"),
        (ALL, {"attn_cp_size": 2}, "context parallelism"),
        (ALL, {"moe_a2a_backend": "deepep"}, "a MoE all-to-all backend"),
        (ALL, {"enable_return_hidden_states": True}, "--enable-return-hidden-states"),
        (ALL, {"prefill_attention_backend": "flashinfer"}, "the attention backend flashinfer"),
    ],
)
def test_a_server_that_cannot_have_them_starts_without(
    arguments: Any,
    said: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    flag: bool,
    parts: tuple[str, ...],
    changed: dict[str, Any],
    reason: str,
) -> None:
    """SGLang's own Gemma 4 would end with an error while it captures."""
    for name, value in changed.items():
        monkeypatch.setitem(arguments.__dict__, name, value)
    if flag:
        by_flag(arguments, prefill_graphs.BREAKABLE)
    assert arranged(arguments, parts, SIZES).backend == prefill_graphs.DISABLED
    assert f"prefill: no graphs: {reason}" in said.text


@pytest.mark.parametrize("by_user", [False, True])
def test_where_sglang_turned_all_graphs_off_prefill_has_none(
    arguments: Any, said: pytest.LogCaptureFixture, by_user: bool
) -> None:
    """As for multi-item scoring and msProbe, without a lock; --disable-decode-cuda-graph locks."""
    arguments.cuda_graph_config.decode.backend = prefill_graphs.DISABLED
    if by_user:
        arguments._cuda_graph_config_locked.add(("decode", "backend"))
    backend = arranged(arguments, ALL, SIZES).backend
    assert backend == (prefill_graphs.BREAKABLE if by_user else prefill_graphs.DISABLED)
    assert ("no graphs: SGLang turned its CUDA graphs off" in said.text) is not by_user


@pytest.mark.parametrize(
    ("parts", "environment", "left"),
    [
        ((), {}, (prefill_graphs.BREAKABLE, [32], "")),
        ((), SIZES, (prefill_graphs.BREAKABLE, [32], "")),
        (ALL, {}, (prefill_graphs.BREAKABLE, [32], "prefill: graphs of 32 tokens")),
        (ALL, SIZES, (prefill_graphs.BREAKABLE, [64, 512], "prefill: graphs of 64, 512 tokens")),
    ],
)
def test_graphs_that_text_models_have_unasked(
    arguments: Any,
    said: pytest.LogCaptureFixture,
    parts: tuple[str, ...],
    environment: dict[str, str],
    left: tuple[str, list[int], str],
) -> None:
    """SGLang's own layers keep them; the variable names the sizes of the fused ones."""
    by_flag(arguments, prefill_graphs.BREAKABLE)
    arguments._cuda_graph_config_locked.clear()
    prefill = arranged(arguments, parts, environment)
    assert (prefill.backend, prefill.bs) == left[:2]
    assert left[2] in said.text and bool(said.text) == bool(left[2])


@pytest.mark.parametrize(
    ("environment", "chunk", "reason"),
    [
        ({switches.PREFILL_GRAPHS_VARIABLE: "64;128"}, 2048, "ValueError: GEMMA4CTL_SGLANG"),
        (SIZES, 32, "every size is larger than a prefill chunk"),
    ],
)
def test_sizes_that_cannot_be_had(
    arguments: Any,
    said: pytest.LogCaptureFixture,
    environment: dict[str, str],
    chunk: int,
    reason: str,
) -> None:
    arguments.override(source="test", chunked_prefill_size=chunk)
    assert arranged(arguments, ALL, environment).backend == prefill_graphs.DISABLED
    assert f"prefill: no graphs: {reason}" in said.text


def test_positions_that_no_graph_would_see(arguments: Any, said: pytest.LogCaptureFixture) -> None:
    from sglang.srt.environ import envs

    with ExitStack() as stack:
        stack.enter_context(envs.SGLANG_GEMMA_OUT_OF_PLACE_POSITION_MUTATION.override(True))
        assert arranged(arguments, ALL, SIZES).backend == prefill_graphs.DISABLED
    assert "positions that are not in their buffer" in said.text


def test_graphs_that_cannot_hold_the_fused_layers(arguments: Any) -> None:
    graphs = arguments.cuda_graph_config
    assert prefill_graphs.problem(arguments) is None
    graphs.prefill.backend = prefill_graphs.BREAKABLE
    assert prefill_graphs.problem(arguments) is None
    graphs.decode.backend = prefill_graphs.BREAKABLE
    assert prefill_graphs.problem(arguments) == "breakable CUDA graphs of decode"
    graphs.prefill.backend = prefill_graphs.PIECEWISE
    assert "piecewise" in str(prefill_graphs.problem(arguments))


@pytest.mark.parametrize(
    ("name", "problem", "arranged_for"),
    [("Target", None, [ALL]), ("Target", "LoRA", [()]),
     ("Gemma4AssistantForCausalLM", None, [])],
)  # fmt: skip
def test_prefill_is_arranged_once_the_layers_are_what_they_will_be(
    arguments: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    problem: str | None,
    arranged_for: list[Any],
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(adopt, "_problem", lambda *_: problem)
    monkeypatch.setattr(adopt, "_has", lambda *_: True)
    monkeypatch.setattr(adopt, "_kernel_problems", lambda *_: {})
    monkeypatch.setattr(adopt, "_switch", lambda *_: None)
    monkeypatch.setattr(prefill_graphs, "arrange", lambda server, parts, _: asked.append(parts))
    text_model = SimpleNamespace(layers=[])
    model = type(name, (), {"config": SimpleNamespace(image_token_id=IMAGE)})()
    adopt.adopt(model, text_model)
    assert asked == arranged_for
    assert getattr(text_model, "placeholders", None) == (None if problem else (IMAGE,))


def test_batches_with_images_run_without_graphs(
    rank: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sglang.srt.model_executor.runner import PrefillCudaGraphRunner

    monkeypatch.setattr(PrefillCudaGraphRunner, "can_run_graph", lambda *_: True)
    prefill_graphs._keep_images_out()
    prefill_graphs._keep_images_out()  # once is enough
    for images in (True, False):
        batch = SimpleNamespace(contains_mm_inputs=lambda images=images: images)
        assert PrefillCudaGraphRunner.can_run_graph(None, batch) is not images
    assert not hasattr(PrefillCudaGraphRunner.can_run_graph.__wrapped__, "__wrapped__")
