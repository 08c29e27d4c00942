"""An answer in the API's terms, the same whether it was streamed or not.

The shapes are checked with the official client's own types, strictly: what they would refuse, a
typed program could not use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gemma4ctl.verify.exchange import Exchange

if TYPE_CHECKING:
    from pydantic import BaseModel

DONE = "[DONE]"


@dataclass(frozen=True)
class Usage:
    """Token counts; ``cached`` is None where the server does not tell."""

    prompt: int
    completion: int
    cached: int | None


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool; ``arguments`` is text that should be JSON."""

    index: int
    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """One complete answer. ``first_token_s`` is None unless it was streamed."""

    exchange: Exchange
    model: str
    content: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage
    seconds: float
    first_token_s: float | None = None


def whole(exchange: Exchange) -> Reply:
    """The reply of an exchange that was not streamed.

    Raises:
        Fault: it does not have the API's form.
    """
    from openai.types.chat import ChatCompletion

    document = _object(exchange, exchange.text(), "the answer")
    _check_shape(exchange, ChatCompletion, document, "the answer")
    choice = _only_choice(exchange, document)
    message = choice["message"]
    given = enumerate(message.get("tool_calls") or ())
    calls = [_call(exchange, index, call) for index, call in given]
    return _reply(
        exchange,
        model=document["model"],
        content=message.get("content") or "",
        reasoning=_thoughts(exchange, message),
        tool_calls=calls,
        finish_reason=choice["finish_reason"],
        usage=document.get("usage"),
    )


def streamed(exchange: Exchange, first_token_s: float | None) -> Reply:
    """The reply of an exchange that was streamed: its events put together.

    Raises:
        Fault: it does not have the API's form, or is not complete.
    """
    from openai.types.chat import ChatCompletionChunk

    texts = events(exchange)
    chunks = [_object(exchange, text, "an event") for text in texts if text != DONE]
    for chunk in chunks:
        _check_event(exchange, chunk)
        _check_shape(exchange, ChatCompletionChunk, chunk, "an event")
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    finish = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    if not finish or not texts or texts[-1] != DONE:
        missing = "[DONE]" if finish else "a finish reason"
        raise exchange.fault(
            "truncated-stream", f"the stream ended without {missing} after {len(chunks)} events"
        )
    _check_chunks(exchange, chunks)
    deltas = [choice["delta"] for choice in choices]
    return _reply(
        exchange,
        model=chunks[0]["model"],
        content="".join(delta.get("content") or "" for delta in deltas),
        reasoning="".join(_thoughts(exchange, delta) for delta in deltas),
        tool_calls=_joined(exchange, deltas),
        finish_reason=finish[0],
        usage=next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None),
        first_token_s=first_token_s,
    )


def events(exchange: Exchange) -> list[str]:
    """The data of every event of a stream.

    Raises:
        Fault: "bad-event-stream", "bad-utf8".
    """
    found = []
    for line in re.split(r"\r\n|\n|\r", exchange.text()):  # not at every Unicode line end
        if line.startswith("data:"):
            found.append(line.removeprefix("data:").strip())
        elif line and not line.startswith((":", "event:", "id:", "retry:")):
            raise exchange.fault("bad-event-stream", f"a line of the stream is {line[:60]!r}")
    return found


def _reply(
    exchange: Exchange,
    *,
    model: str,
    content: str,
    reasoning: str,
    tool_calls: Sequence[ToolCall],
    finish_reason: str,
    usage: Any,
    first_token_s: float | None = None,
) -> Reply:
    return Reply(
        exchange=exchange,
        model=model,
        content=content,
        reasoning=reasoning,
        tool_calls=tuple(tool_calls),
        finish_reason=finish_reason,
        usage=_usage(exchange, usage),
        seconds=exchange.seconds,
        first_token_s=first_token_s,
    )


def _object(exchange: Exchange, text: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise exchange.fault("bad-json", f"{what} is not JSON ({error}): {text[:60]!r}") from None
    if not isinstance(document, dict):
        raise exchange.fault("bad-shape", f"{what} is no JSON object: {text[:60]!r}")
    return document


def _check_shape(
    exchange: Exchange, kind: type[BaseModel], document: Mapping[str, Any], what: str
) -> None:
    try:
        kind.model_validate(document, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise exchange.fault("bad-shape", f"{what}: {where}: {first['msg']}") from None


def _check_event(exchange: Exchange, chunk: Mapping[str, Any]) -> None:
    """An error may come in a stream whose status was 200."""
    error = chunk.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        raise exchange.fault("server-error", f"the stream holds an error: {message}")


def _check_chunks(exchange: Exchange, chunks: Sequence[Mapping[str, Any]]) -> None:
    """One answer has one id, one model, and one choice."""
    for name in ("id", "model"):
        values = {chunk[name] for chunk in chunks}
        if len(values) > 1:
            raise exchange.fault("bad-shape", f"the events have {len(values)} different {name}s")
    if any(choice["index"] != 0 for chunk in chunks for choice in chunk["choices"]):
        raise exchange.fault("bad-shape", "events of a second choice, of one that was asked for")


def _thoughts(exchange: Exchange, part: Mapping[str, Any]) -> str:
    """The thoughts in a message or a part of one; the official types do not know them."""
    thoughts = part.get("reasoning_content")
    if thoughts is not None and not isinstance(thoughts, str):
        raise exchange.fault("bad-shape", f"reasoning_content is no text: {thoughts!r:.60}")
    return thoughts or ""


def _only_choice(exchange: Exchange, document: Mapping[str, Any]) -> dict[str, Any]:
    choices = document["choices"]
    if len(choices) != 1:
        raise exchange.fault("bad-shape", f"{len(choices)} choices where one was asked for")
    only: dict[str, Any] = choices[0]
    return only


def _usage(exchange: Exchange, usage: Any) -> Usage:
    """The token counts, which have to add up."""
    if usage is None:
        raise exchange.fault("wrong-usage", "the answer has no usage")
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    total = usage["total_tokens"]
    if prompt < 1 or completion < 1 or total != prompt + completion:
        raise exchange.fault(
            "wrong-usage", f"usage: {prompt} prompt + {completion} completion = {total} tokens"
        )
    asked = exchange.body["max_tokens"]
    if completion > asked:
        raise exchange.fault(
            "wrong-usage", f"{completion} completion tokens where at most {asked} were asked for"
        )
    details = usage.get("prompt_tokens_details") or {}
    return Usage(prompt, completion, details.get("cached_tokens"))


def _call(exchange: Exchange, index: int, call: Mapping[str, Any]) -> ToolCall:
    if call["type"] != "function":
        raise exchange.fault("bad-shape", f"a tool call of the type {call['type']}")
    function = call["function"]
    return ToolCall(index, call.get("id"), function["name"], function["arguments"])


def _joined(exchange: Exchange, deltas: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """The streamed calls, put together by index as a client has to."""
    calls: list[ToolCall] = []
    for part in (part for delta in deltas for part in delta.get("tool_calls") or ()):
        function = part.get("function") or {}
        name, arguments = function.get("name"), function.get("arguments") or ""
        if name:
            if part["index"] != len(calls):
                raise exchange.fault(
                    "tool-index",
                    f"call {len(calls)}, of {name}, is streamed with index {part['index']}: "
                    "clients put calls together by index and mix them up",
                )
            calls.append(ToolCall(part["index"], part.get("id"), name, arguments))
        elif not calls or part["index"] != calls[-1].index:
            raise exchange.fault(
                "tool-index", f"arguments for index {part['index']}, which has no call yet"
            )
        else:
            last = calls[-1]
            calls[-1] = ToolCall(last.index, last.id, last.name, last.arguments + arguments)
    return calls
