"""The capped copy of the logits in SGLang's own processor, beside what SGLang computes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

CAP, VOCABULARY, HIDDEN = 8.0, 96, 32


@pytest.fixture
def real(real_sglang: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tiny models; SGLang's softcap is that of CPUs, as its kernel needs a GPU."""
    from sglang.srt.layers import logits_processor

    monkeypatch.setattr(logits_processor, "_is_cpu", True)
    real = importlib.import_module("tests.sglang_model.real")
    real.process()
    return real


@pytest.fixture
def kernel(real_sglang: None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The kernel, replaced by its reference here; the buffers that it was called with."""
    from gemma4ctl.sglang_model.kernels import logits, reference, runtime

    used: list[Any] = []

    def softcap(x: Any, cap: float, out: Any = None) -> Any:
        used.append(out)
        return reference.softcap(x, cap, out)

    monkeypatch.setattr(runtime, "interpreted", lambda: True)
    monkeypatch.setattr(logits, "softcap", softcap)
    return used


def processor(real: Any, cap: float | None = CAP, **options: Any) -> Any:
    from sglang.srt.layers.logits_processor import LogitsProcessor

    return LogitsProcessor(real.text_config(**real.DENSE, final_logit_softcapping=cap), **options)


def switched(real: Any) -> Any:
    from gemma4ctl.sglang_model import logits

    model = SimpleNamespace(logits_processor=processor(real))
    logits.switch(model)
    assert type(model.logits_processor) is logits.CappedLogits
    assert model.logits_processor.final_logit_softcapping is None
    return model.logits_processor


def computed(
    one: Any, tokens: int, dtype: Any, *, rows: int = VOCABULARY, buffer: Any = None, **options: Any
) -> Any:
    """Logits of some tokens, by an LM head of ``rows``."""
    import torch

    generator = torch.Generator().manual_seed(5)
    hidden = torch.randn(tokens, HIDDEN, generator=generator).to(dtype)
    weight = (torch.randn(rows, HIDDEN, generator=generator) * 2).to(dtype)
    batch = SimpleNamespace(next_token_logits_buffer=buffer)
    return one._get_logits(hidden, SimpleNamespace(weight=weight), batch, **options)


@pytest.mark.parametrize("rows", [VOCABULARY, VOCABULARY + 32])
def test_logits_are_those_of_sglang(real: Any, kernel: list[Any], rows: int) -> None:
    """With a head of the vocabulary's size, and with a padded one."""
    import torch

    for dtype in (torch.bfloat16, torch.float16):
        expected = computed(processor(real), 3, dtype, rows=rows)
        found = computed(switched(real), 3, dtype, rows=rows)
        assert expected.shape == (3, VOCABULARY) and expected.abs().max() > CAP / 2
        assert torch.equal(found, expected)
    assert kernel == [None, None]


def test_a_buffer_that_fits_is_used(real: Any, kernel: list[Any]) -> None:
    import torch

    fits, other = torch.zeros(3, VOCABULARY), torch.zeros(4, VOCABULARY)
    expected = computed(processor(real), 3, torch.bfloat16)
    for buffer, used, options in (
        (fits, True, {}),
        (fits, False, {"use_logits_buffer": False}),
        (other, False, {}),
    ):
        found = computed(switched(real), 3, torch.bfloat16, buffer=buffer, **options)
        assert torch.equal(found, expected)
        assert (found.data_ptr() == buffer.data_ptr()) is used
        assert kernel.pop() is (buffer if used else None)


def test_what_the_kernel_does_not_take_is_sglangs(
    real: Any, kernel: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from sglang.srt.layers.logits_processor import LogitsProcessor

    ours, stock = switched(real), processor(real)

    def same(*args: Any) -> bool:
        found, expected = (computed(each, *args) for each in (ours, stock))
        return bool(torch.equal(found, expected)) and found.dtype == torch.float32

    assert same(3, torch.float32) and same(0, torch.bfloat16)
    compute = LogitsProcessor._compute_lm_head

    def by_columns(*args: Any) -> Any:
        return compute(*args).t().contiguous().t()

    monkeypatch.setattr(LogitsProcessor, "_compute_lm_head", by_columns)
    assert same(3, torch.bfloat16)
    assert not kernel


def test_without_a_gpu_the_softcap_is_sglangs(
    real: Any, kernel: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from gemma4ctl.sglang_model.kernels import runtime

    monkeypatch.setattr(runtime, "interpreted", lambda: False)
    expected = computed(processor(real), 3, torch.bfloat16)
    assert torch.equal(computed(switched(real), 3, torch.bfloat16), expected)
    assert not kernel


def test_what_falls_back_on_a_gpu_is_capped_by_sglangs_kernel(
    real: Any, kernel: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from sglang.srt.layers import logits_processor

    def in_place(x: Any, cap: float) -> Any:
        return x.div_(cap).tanh_().mul_(cap)

    expected = computed(processor(real), 3, torch.float32)
    monkeypatch.setattr(logits_processor, "_is_cpu", False)
    monkeypatch.setattr(logits_processor, "fused_softcap", in_place)
    buffer = torch.zeros(3, VOCABULARY)
    found = computed(switched(real), 3, torch.float32, buffer=buffer)
    assert torch.allclose(found, expected) and found.data_ptr() == buffer.data_ptr()


def test_a_missing_softcap_is_seen(real: Any, kernel: list[Any]) -> None:
    """And one that is applied twice."""
    import torch

    expected = computed(processor(real), 3, torch.bfloat16)
    once = switched(real)
    once.softcap = 1e9
    assert not torch.allclose(computed(once, 3, torch.bfloat16), expected, rtol=0.01)
    twice = switched(real)
    twice.final_logit_softcapping = CAP
    assert not torch.allclose(computed(twice, 3, torch.bfloat16), expected, rtol=0.01)


def subclassed(real: Any) -> Any:
    from sglang.srt.layers.logits_processor import LogitsProcessor

    one = processor(real)
    one.__class__ = type("Other", (LogitsProcessor,), {})
    return SimpleNamespace(logits_processor=one)


@pytest.mark.parametrize(
    "made",
    [
        lambda real: SimpleNamespace(),
        lambda real: SimpleNamespace(logits_processor=processor(real, None)),
        lambda real: SimpleNamespace(logits_processor=processor(real, 0.0)),
        lambda real: SimpleNamespace(logits_processor=processor(real, -1.0)),
        lambda real: SimpleNamespace(logits_processor=processor(real, logit_scale=0.5)),
        lambda real: SimpleNamespace(logits_processor=processor(real), use_ordered_embeddings=True),
        subclassed,
    ],
    ids=["none", "no cap", "0", "negative", "scaled", "centroids", "another class"],
)
def test_other_processors_stay(real: Any, made: Callable[[Any], Any]) -> None:
    from gemma4ctl.sglang_model import adopt, logits

    model = made(real)
    before = type(getattr(model, "logits_processor", None))
    cap = getattr(getattr(model, "logits_processor", None), "final_logit_softcapping", None)
    assert not adopt._has(model, model, "logits")
    logits.switch(model)
    after = getattr(model, "logits_processor", None)
    assert type(after) is before and getattr(after, "final_logit_softcapping", None) == cap


def test_models_and_drafts_have_that_processor(real: Any) -> None:
    """A draft caps its logits as its configuration says, unless it picks centroids."""
    from gemma4ctl.sglang_model import adopt

    config = real.text_config(**real.DENSE, final_logit_softcapping=CAP)
    model = real.build("sglang.srt.models.gemma4_causal", "Gemma4ForCausalLM", config)
    assert adopt._has(model, model.model, "logits")
    draft = real.draft(config)
    draft.logits_processor.final_logit_softcapping = CAP
    assert adopt._has(draft, draft.model, "logits")
    draft.use_ordered_embeddings = True
    assert not adopt._has(draft, draft.model, "logits")
