"""What a prompt is sent as, and what the events of the answer say, for each API of a server.

``generate`` is SGLang's own API, which the published text figures were measured through: it takes
token ids, so that lengths are exact, and counts the tokens of every chunk. ``completions`` is the
same for other OpenAI-compatible servers; ``chat`` takes images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gemma4ctl.bench.workload import Prompt

Api = Literal["generate", "completions", "chat"]
PATHS: dict[Api, str] = {
    "generate": "/generate",
    "completions": "/v1/completions",
    "chat": "/v1/chat/completions",
}
DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Step:
    """What one event says. Counts are of the answer so far, None where the event has none."""

    has_text: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    accept_length: float | None = None
    error: str | None = None


class BadEventError(ValueError):
    """An event that is not what the API sends."""


def body(prompt: Prompt, api: Api, model: str) -> bytes:
    """The request for ``prompt``: greedy, streamed, and to its full length."""
    make = {"generate": _generate, "completions": _completions, "chat": _chat}[api]
    return json.dumps(make(prompt, model), separators=(",", ":")).encode("ascii")


def step(data: bytes, api: Api) -> Step:
    """What an event with ``data`` says.

    Raises:
        BadEventError: it is no JSON object in UTF-8, or lacks what every event of ``api`` has.
    """
    try:
        event = json.loads(data)
        if event.get("error"):
            return Step(error=_message(event["error"]))
        return _generated(event) if api == "generate" else _chosen(event)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        shown = data[:200].decode("utf-8", errors="replace")
        raise BadEventError(f"{type(error).__name__}: {error}; the event: {shown!r}") from None


def _generate(prompt: Prompt, model: str) -> dict[str, Any]:
    given = {"text": prompt.text} if prompt.token_ids is None else {"input_ids": prompt.token_ids}
    return {
        **given,
        **({"image_data": prompt.images} if prompt.images else {}),
        "sampling_params": {
            "temperature": 0.0,
            "max_new_tokens": prompt.output_tokens,
            "ignore_eos": True,
        },
        "stream": True,
    }


def _completions(prompt: Prompt, model: str) -> dict[str, Any]:
    given = prompt.text if prompt.token_ids is None else prompt.token_ids
    return {"prompt": given, "max_tokens": prompt.output_tokens, **_openai(model)}


def _chat(prompt: Prompt, model: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": url}} for url in prompt.images
    ]
    content.append({"type": "text", "text": prompt.text})
    return {
        "messages": [{"role": "user", "content": content}],
        "max_completion_tokens": prompt.output_tokens,
        **_openai(model),
    }


def _openai(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "temperature": 0.0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


def _generated(event: Mapping[str, Any]) -> Step:
    """What an event of ``/generate`` says; its text and ids are those of the whole answer."""
    meta = event["meta_info"]
    finish = meta.get("finish_reason") or {}
    if finish.get("type") == "abort":
        return Step(error=_message(finish))
    return Step(
        has_text=bool(event["text"] if "text" in event else event["output_ids"]),
        prompt_tokens=meta.get("prompt_tokens"),
        completion_tokens=meta["completion_tokens"],
        cached_tokens=meta.get("cached_tokens"),
        accept_length=meta.get("spec_accept_length"),
    )


def _chosen(event: Mapping[str, Any]) -> Step:
    """What an event of the OpenAI APIs says; the last one has the usage alone."""
    choice = event["choices"][0] if event["choices"] else {}
    delta = choice.get("delta") or {}
    usage = event.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    text = choice.get("text") or delta.get("content") or delta.get("reasoning_content")
    return Step(
        has_text=bool(text),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        cached_tokens=details.get("cached_tokens"),
    )


def _message(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or error)[:500]
