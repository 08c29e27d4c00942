"""The lines in the server's log that say what the module does; gemma4ctl reads them back.

``gemma4ctl 0.1.0 kernels: fused, Gemma4ForConditionalGeneration, 35 layers: norms, ...``
``gemma4ctl 0.1.0 kernels: stock, Gemma4ForCausalLM: pipeline parallelism``
``gemma4ctl 0.1.0 kernels of Gemma4ForCausalLM, linears of small batches left to SGLang: ...``
``gemma4ctl 0.1.0 KV: shared, 15 of 35 layers own KV``
``gemma4ctl 0.1.0 KV: stock: prefill/decode disaggregation``
``gemma4ctl 0.1.0 prefill: graphs of 16, 32, 64 tokens``
``gemma4ctl 0.1.0 prefill: no graphs: speculative decoding``
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gemma4ctl import __version__

LEFT = "; left to SGLang: "
# How what follows the colon begins where a part is on.
FUSED, SHARED, FROM_GRAPHS = "fused", "shared", "graphs of"

logger = logging.getLogger("gemma4ctl")


def fused(model: str, layers: int, parts: Iterable[str], left: Iterable[str] = ()) -> None:
    """``parts`` of the ``layers`` of ``model`` run fused; those ``left`` were to, but do not."""
    named = ", ".join(left)
    _say(
        f"kernels: {FUSED}, {model}, {layers} layers: {', '.join(parts)}"
        f"{LEFT if named else ''}{named}"
    )


def stock_part(model: str, part: str, reasons: Iterable[str]) -> None:
    """A ``part`` of ``model`` stays SGLang's: a line for each kernel that failed its check."""
    for reason in reasons:
        _say(f"kernels of {model}, {part} left to SGLang: {reason}", logging.WARNING)


def stock_kernels(model: str, reason: str) -> None:
    """``model`` keeps SGLang's own layers."""
    _say(f"kernels: stock, {model}: {reason}", logging.WARNING)


def shared_kv(own: int, layers: int) -> None:
    """Only ``own`` of ``layers`` get KV pools."""
    _say(f"KV: {SHARED}, {own} of {layers} layers own KV")


def uncharged_draft(layers: int) -> None:
    """The MTP draft's ``layers`` are not charged, as they own no KV."""
    _say(f"KV: shared, {layers} draft layers not charged")


def stock_kv(reason: str) -> None:
    """SGLang's own KV pools are kept."""
    _say(f"KV: stock: {reason}", logging.WARNING)


def prefill_graphs(sizes: Iterable[int]) -> None:
    """SGLang is to capture graphs of prefill for ``sizes`` tokens."""
    _say(f"prefill: {FROM_GRAPHS} {', '.join(map(str, sizes))} tokens")


def no_prefill_graphs(reason: str) -> None:
    """Prefill runs without graphs, though they were asked for."""
    _say(f"prefill: no graphs: {reason}", logging.WARNING)


def _say(text: str, level: int = logging.INFO) -> None:
    logger.log(level, "gemma4ctl %s %s", __version__, text)
