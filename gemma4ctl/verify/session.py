"""What a check works with: the client, what the server said of itself, and how to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.verify.client import Client
from gemma4ctl.verify.content import CONTENT
from gemma4ctl.verify.faults import Skip
from gemma4ctl.verify.reply import Reply

# The control tokens of Gemma 4 that its parsers take out of an answer.
MARKERS = (
    "<|channel>",
    "<channel|>",
    "<|tool_call>",
    "<tool_call|>",
    '<|"|>',
    "<|turn>",
    "<turn|>",
    "<|think|>",
)
THOUGHT_MARKERS = MARKERS[:2]


@dataclass(frozen=True)
class Session:
    """One check's view of the endpoint. ``unjudged`` are the parts of ``CONTENT`` it skipped."""

    endpoint: Endpoint
    client: Client
    facts: Facts
    random_weights: bool
    modalities: tuple[str, ...] | None = None  # of the variant, where it is known
    expected_variant: str | None = None  # where the user named one
    unjudged: list[str] = field(default_factory=list)

    def fresh(self) -> Session:
        """The same for the next check."""
        return replace(self, unjudged=[])

    def judge(self, part: str, good: bool, code: str, message: str, reply: Reply) -> None:
        """Require ``good`` of the content of ``reply``; with random weights only note it.

        Args:
            part: which entry of ``CONTENT`` this is about.

        Raises:
            Fault: ``code`` with ``message``.
        """
        assert part in CONTENT, part
        if self.random_weights:
            if part not in self.unjudged:
                self.unjudged.append(part)
        elif not good:
            raise reply.exchange.fault(code, message)

    def judge_text(self, reply: Reply, *, good: bool = True) -> None:
        """Require an answer that is ``good``, not empty, ended, and free of control tokens."""
        shown = shortened(reply.content)
        leaked = next((marker for marker in MARKERS if marker in reply.content), None)
        code = "thinking-leaked" if leaked in THOUGHT_MARKERS else "markers-leaked"
        self.judge("markers", leaked is None, code, f"the content holds {leaked}: {shown}", reply)
        self.judge(
            "ends",
            reply.finish_reason != "length",
            "never-ends",
            f"no end within {reply.usage.completion} tokens: {shown}",
            reply,
        )
        right = good and bool(reply.content.strip())
        self.judge("answer", right, "wrong-answer", f"the answer is {shown}", reply)

    def require_argument(self, name: str, flag: str) -> None:
        """Skip the check when the server says that it was started without ``flag``."""
        if self.facts.server_args is not None and not self.facts.argument(name):
            raise Skip(f"the server was started without {flag}")


@dataclass(frozen=True)
class Done:
    """A check that found nothing wrong: what it saw, in a line and in figures."""

    detail: str
    figures: Mapping[str, float] = field(default_factory=dict)


def question(text: str | list[dict[str, Any]], max_tokens: int, **more: Any) -> dict[str, Any]:
    """A request with one message of the user."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, **more}


def shortened(text: str, length: int = 60) -> str:
    """``text`` in quotes, on one line, cut to ``length``."""
    line = " ".join(text.split())
    return repr(line if len(line) <= length else line[: length - 3] + "...")


def counted(reply: Reply) -> str:
    """The token counts of ``reply``."""
    return f"{reply.usage.prompt} + {reply.usage.completion} tokens"
