"""The answers of real servers in ``captured/``, and a server that gives them again.

A request gets the answer that was recorded for one of its kind: streamed or not, with an image, a
sound, tools, thinking on or off. Not recorded were the short requests by which checks count the
tokens of a text; their answers are made from the recorded counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.endpoint.server import Answers, Handler, fixed, serving
from tests.verify.brain import DELIMITERS

CAPTURED = Path(__file__).parent / "captured"
REPORTS = Path(__file__).parents[2] / "benchmarks" / "results" / "endpoint"
VARIANTS = sorted(folder.name for folder in CAPTURED.iterdir() if folder.is_dir())
PAGES = {
    "health": "/health",
    "v1-models": "/v1/models",
    "model_info": "/model_info",
    "server_info": "/server_info",
    "metrics": "/metrics",
}
STAND_IN = {"thinking-off-stream": "stream"}  # where it was not recorded: no thoughts either


class Recording(NamedTuple):
    """A request (its media and long texts cut) and the answer to it."""

    request: dict[str, Any]
    status: int
    content_type: str
    body: str

    def usage(self) -> dict[str, Any]:
        """The token counts, of a stream those of its last event."""
        last = events(self.body)[-1] if self.request.get("stream") else self.body
        usage: dict[str, Any] = json.loads(last)["usage"]
        return usage


def recordings(variant: str) -> dict[str, Recording]:
    """All answers of the server of ``variant``, by name."""
    found = {}
    for file in sorted((CAPTURED / variant).glob("*.json")):
        kept = json.loads(file.read_text(encoding="utf-8"))
        assert not kept["cut"], file
        found[file.stem] = Recording(*(kept[field] for field in Recording._fields))
    return found


def report(variant: str) -> dict[str, Any]:
    """What ``gemma4ctl verify`` found at the same server."""
    document: dict[str, Any] = json.loads((REPORTS / variant / "verify.json").read_text())
    return document


def events(body: str) -> list[str]:
    """The data of a stream's events, without the last, which is [DONE]."""
    assert body.endswith("data: [DONE]\n\n")
    return [event.removeprefix("data: ") for event in body.split("\n\n")[:-2]]


def kind(request: Mapping[str, Any]) -> str:
    """The name of the recording that answers ``request``."""
    if not request["messages"]:
        return "no-messages"
    parts = request["messages"][-1]["content"]
    types = {part["type"] for part in parts} if isinstance(parts, list) else set()
    thinks = (request.get("chat_template_kwargs") or {}).get("enable_thinking")
    stream = bool(request.get("stream"))
    if tools := request.get("tools"):
        name = "tools" if len(tools) == 1 else "tools-several"
    elif types & {"image_url", "audio_url"}:
        name = "image" if "image_url" in types else "audio"
    elif thinks is None:
        return "stream" if stream else "chat"
    else:
        name = "thinking-on" if thinks else "thinking-off"
    return f"{name}-stream" if stream else name


@contextmanager
def replaying(
    variant: str, changed: Mapping[str, Recording] = MappingProxyType({})
) -> Iterator[str]:
    """The URL of a server that answers as that of ``variant`` did, but for what is ``changed``."""
    recorded = recordings(variant)
    answers = {**recorded, **changed}
    pages: dict[str, Answers] = {
        path: fixed(answers[name].body.encode(), kind=answers[name].content_type)
        for name, path in PAGES.items()
    }

    def complete(handler: Handler) -> None:
        request = json.loads(handler.received)
        if request["max_tokens"] == 1:
            handler.give(_counted(recorded, request).encode())
            return
        name = kind(request)
        answer = answers[name if name in answers else STAND_IN[name]]
        handler.give(answer.body.encode(), status=answer.status, kind=answer.content_type)

    with serving({**pages, "/v1/chat/completions": complete}) as url:
        yield url


def _counted(recorded: Mapping[str, Recording], request: Mapping[str, Any]) -> str:
    """An answer of one token to a text: its prompt is as long as recorded, less the media."""
    asked = _text(request)
    usage = next(
        answer.usage()
        for answer in recorded.values()
        if answer.status == 200 and answer.request and _text(answer.request) == asked
    )
    details = usage["prompt_tokens_details"]
    media = [details.get(name, 0) for name in ("image_tokens", "audio_tokens")]
    prompt = usage["prompt_tokens"] - sum(tokens + DELIMITERS for tokens in media if tokens)
    document = json.loads(recorded["chat"].body)
    document["usage"] = {
        "prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1,
    }  # fmt: skip
    return json.dumps(document)


def _text(request: Mapping[str, Any]) -> str:
    content = request["messages"][-1]["content"] if request["messages"] else ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")
