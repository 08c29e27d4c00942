"""What a prompt is sent as, to each API of a server.

``generate`` is SGLang's own API, which the published text figures were measured through: it takes
token ids, so that lengths are exact, and counts the tokens of every chunk. ``completions`` is the
same for other OpenAI-compatible servers; ``chat`` takes images.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from gemma4ctl.bench.workload import Prompt

Api = Literal["generate", "completions", "chat"]
PATHS: dict[Api, str] = {
    "generate": "/generate",
    "completions": "/v1/completions",
    "chat": "/v1/chat/completions",
}


def body(prompt: Prompt, api: Api, model: str) -> bytes:
    """The request for ``prompt``: greedy, streamed, and to its full length."""
    make = {"generate": _generate, "completions": _completions, "chat": _chat}[api]
    return json.dumps(make(prompt, model), separators=(",", ":")).encode("ascii")


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
