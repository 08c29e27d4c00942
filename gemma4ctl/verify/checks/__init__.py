"""Every check, in the order they run: cheap and basic ones first.

- :mod:`~gemma4ctl.verify.checks.service`: health, model, metrics, MTP
- :mod:`~gemma4ctl.verify.checks.chat`: chat, streaming, concurrent requests
- :mod:`~gemma4ctl.verify.checks.media`: images and audio
- :mod:`~gemma4ctl.verify.checks.thinking`: thoughts apart from answers
- :mod:`~gemma4ctl.verify.checks.tools`: tool calls and JSON schemas
- :mod:`~gemma4ctl.verify.checks.context`: prompts near the limit, prefix cache
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemma4ctl.verify.checks import chat, context, media, service, thinking, tools
from gemma4ctl.verify.session import Done, Session


@dataclass(frozen=True)
class Check:
    """One check. ``run`` raises a fault or a skip, or says what it saw."""

    name: str
    title: str
    run: Callable[[Session], Done]


CHECKS: tuple[Check, ...] = (
    Check("health", "the server says that it is healthy", service.health),
    Check("model", "the model is a Gemma 4, and the one asked for", service.model),
    Check("chat", "a question is answered", chat.chat),
    Check("stream", "an answer comes as a stream of events", chat.stream),
    Check("image", "an image reaches the model", media.image),
    Check("images", "several images do, in order", media.images),
    Check("audio", "audio reaches the model", media.audio),
    Check("thinking", "thoughts are apart from the answer, and can be off", thinking.thinking),
    Check("thinking-stream", "so they are in a stream", thinking.thinking_stream),
    Check("tools", "a tool is called with arguments of its schema", tools.tools),
    Check("tools-stream", "so it is in a stream", tools.tools_stream),
    Check("tools-several", "two streamed calls have indices of their own", tools.tools_several),
    Check("json-schema", "an answer follows a JSON schema", tools.json_schema),
    Check("concurrent", "concurrent requests get their own answers", chat.concurrent),
    Check("prefix-cache", "a repeated prompt is not computed again", context.prefix_cache),
    Check("context", "prompts fit up to the limit and are refused beyond", context.context),
    Check("metrics", "there are metrics", service.metrics),
    Check("mtp", "drafted tokens are accepted", service.mtp),
)
