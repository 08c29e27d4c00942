"""Thoughts: in ``reasoning_content`` when they are asked for, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gemma4ctl.verify.reply import Reply
from gemma4ctl.verify.session import THOUGHT_MARKERS, Done, Session, question, shortened

PRODUCT = "What is 17 times 23? Answer with the number alone."
ANSWER = "391"
MAX_TOKENS = 2048
LABEL = "thought\n"  # how a channel of thoughts begins


def thinking(session: Session) -> Done:
    """With ``enable_thinking`` there are thoughts and an answer; without, an answer only."""
    return _both(session, session.client.chat)


def thinking_stream(session: Session) -> Done:
    """The same, streamed."""
    return _both(session, session.client.stream)


def _both(session: Session, ask: Callable[[Mapping[str, Any]], Reply]) -> Done:
    session.require_argument("reasoning_parser", "--reasoning-parser")
    limit = 64 if session.random_weights else MAX_TOKENS
    thought = ask(request(True, limit))
    _judge_apart(session, thought)
    session.judge(
        "thoughts",
        bool(thought.reasoning.strip()),
        "thinking-missing",
        "enable_thinking is true, and there is no reasoning_content",
        thought,
    )
    session.judge_text(thought, good=ANSWER in thought.content)
    plain = ask(request(False, min(limit, 64)))
    _judge_apart(session, plain)
    session.judge(
        "thoughts",
        not plain.reasoning.strip(),
        "thinking-unasked",
        f"enable_thinking is false, and there are {len(plain.reasoning)} characters of thoughts",
        plain,
    )
    session.judge_text(plain)  # a small model may be wrong without a thought
    return Done(
        f"{len(thought.reasoning)} characters of thoughts, {len(thought.content)} of the answer",
        {"reasoning_characters": float(len(thought.reasoning)), "seconds": thought.seconds},
    )


def request(enabled: bool, max_tokens: int = MAX_TOKENS) -> dict[str, Any]:
    """A question that is worth a thought, with thinking on or off."""
    return question(PRODUCT, max_tokens, chat_template_kwargs={"enable_thinking": enabled})


def _judge_apart(session: Session, reply: Reply) -> None:
    """Refuse thoughts in the content: their control tokens, or the label they begin with."""
    content = reply.content
    leaked = any(marker in content for marker in THOUGHT_MARKERS)
    session.judge(
        "thoughts",
        not leaked and not content.lstrip().startswith(LABEL),
        "thinking-leaked",
        f"thoughts stand in the content: {shortened(content)}",
        reply,
    )
