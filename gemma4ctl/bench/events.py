"""What the events of an answer say, for each API; what is not needed of them is skipped unread.

An event of ``/generate`` repeats the whole answer so far, so that reading all of it would take the
client longer than everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from gemma4ctl.bench.payload import Api

DONE = b"[DONE]"
SHOWN = 200  # characters of a bad event


class Step(NamedTuple):
    """What one event says. Counts are of the answer so far, None where the event has none."""

    has_text: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    accept_length: float | None = None
    error: str | None = None


class BadEventError(ValueError):
    """An event that is not what the API sends."""


def reader(api: Api) -> Callable[[bytes], Step]:
    """What reads the events of ``api``; it raises :class:`BadEventError`."""
    return _generated if api == "generate" else _chosen


class Problem(Struct, gc=False):
    """An error, which some servers give as a text alone."""

    message: str = "no message"
    type: str | None = None


class Meta(Struct, gc=False):
    """SGLang's account of an answer so far."""

    completion_tokens: int
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    spec_accept_length: float | None = None
    finish_reason: Problem | None = None


class Generated(Struct, gc=False):
    """An event of ``/generate``."""

    meta_info: Meta | None = None
    text: str | None = None
    error: Problem | str | None = None


class Delta(Struct, gc=False):
    """What a chat answer grew by."""

    content: str | None = None
    reasoning_content: str | None = None


class Choice(Struct, gc=False):
    """One answer; the benchmark asks for no more."""

    text: str | None = None
    delta: Delta | None = None


class Details(Struct, gc=False):
    """Where the tokens of a prompt were."""

    cached_tokens: int | None = None


class Usage(Struct, gc=False):
    """The tokens of an answer so far."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None


class Chunk(Struct, gc=False):
    """An event of the OpenAI APIs; the last one has the usage alone."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Problem | str | None = None


_read_generated = msgspec.json.Decoder(Generated).decode
_read_chunk = msgspec.json.Decoder(Chunk).decode
NO_DELTA, NO_USAGE, NO_DETAILS = Delta(), Usage(), Details()


def _generated(data: bytes) -> Step:
    """What an event of ``/generate`` says."""
    try:
        event = _read_generated(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _bad(data, str(error)) from None
    if event.error is not None:
        return Step(error=_message(event.error))
    meta = event.meta_info
    if meta is None:
        raise _bad(data, "it has no meta_info")
    if meta.finish_reason is not None and meta.finish_reason.type == "abort":
        return Step(error=_message(meta.finish_reason))
    return Step(
        event.text != "",  # a server without a tokenizer sends no text at all
        meta.prompt_tokens,
        meta.completion_tokens,
        meta.cached_tokens,
        meta.spec_accept_length,
    )


def _chosen(data: bytes) -> Step:
    """What an event of the OpenAI APIs says."""
    try:
        event = _read_chunk(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _bad(data, str(error)) from None
    if event.error is not None:
        return Step(error=_message(event.error))
    if event.choices is None:
        raise _bad(data, "it has no choices")
    usage = event.usage or NO_USAGE
    return Step(
        any(_has_text(choice) for choice in event.choices),
        usage.prompt_tokens,
        usage.completion_tokens,
        (usage.prompt_tokens_details or NO_DETAILS).cached_tokens,
    )


def _has_text(choice: Choice) -> bool:
    delta = choice.delta or NO_DELTA
    return bool(choice.text or delta.content or delta.reasoning_content)


def _message(problem: Problem | str) -> str:
    return problem if isinstance(problem, str) else problem.message


def _bad(data: bytes, why: str) -> BadEventError:
    shown = data[:SHOWN].decode("utf-8", errors="replace")
    return BadEventError(f"{why}; the event: {shown!r}")
