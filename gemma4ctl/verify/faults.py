"""What can be wrong with an endpoint: every fault has a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Code -> what it means.
FAULTS: dict[str, str] = {
    # No answer, or a part of one.
    "unreachable": "the connection was refused or lost before an answer",
    "no-answer": "no answer within the time",
    "slow-first-token": "a stream began, but its first token did not come in time",
    "stalled": "a stream fell silent in the middle",
    "disconnected": "the connection was closed in the middle of an answer",
    "truncated-stream": "a stream ended without its finish reason or [DONE]",
    # Refused.
    "key-refused": "the API key is missing or wrong (401, 403)",
    "rate-limited": "too many requests (429)",
    "unavailable": "the server is starting, stopping or overloaded (503)",
    "server-error": "the server failed (any other 5xx)",
    "request-refused": "a correct request was refused (any other 4xx)",
    # Answered in another form than the API's.
    "bad-content-type": "neither JSON nor an event stream, by its content type",
    "bad-utf8": "bytes that are not UTF-8",
    "bad-json": "an answer or an event that is not JSON",
    "bad-event-stream": "a line that does not belong in an event stream",
    "bad-shape": "a field of the API is missing or of another type",
    "huge-event": "more data at once than any token is worth",
    "wrong-usage": "token counts that are missing or do not add up",
    # Answered wrongly.
    "wrong-model": "another model than the one asked for",
    "wrong-answer": "an answer that is empty or not to the question",
    "never-ends": "an answer that runs into its token limit",
    "markers-leaked": "the model's control tokens stand in the content",
    "image-dropped": "images do not reach the model",
    "audio-dropped": "audio does not reach the model",
    "thinking-missing": "no thoughts though they were asked for",
    "thinking-unasked": "thoughts though they were switched off",
    "thinking-leaked": "thoughts stand in the content",
    "tool-missing": "no tool call where one was due",
    "tool-index": "streamed tool calls with wrong indices",
    "tool-json": "arguments of a tool call that are not JSON",
    "tool-arguments": "a tool call that does not fit the tool's schema",
    "schema-ignored": "an answer that does not follow the JSON schema",
    "answers-mixed": "an answer to somebody else's question",
    # Limits and measurements.
    "context-short": "a prompt within the context length was refused or cut",
    "context-unchecked": "a prompt beyond the context length was not refused",
    "cache-missed": "a repeated prompt was computed again",
    "no-metrics": "no metrics",
    "bad-metrics": "metrics that are not Prometheus' or lack SGLang's",
    "drafts-unmeasured": "MTP is on, but the server tells no acceptance length",
    "drafts-refused": "MTP is on, but drafted tokens are hardly ever accepted",
}

# After one of these, further checks would only wait for the same.
BLOCKING = frozenset({"unreachable", "no-answer", "key-refused"})


_BY_STATUS = {401: "key-refused", 403: "key-refused", 429: "rate-limited", 503: "unavailable"}


def of_status(status: int) -> str:
    """The fault that an answer with an HTTP status from 300 on shows."""
    return _BY_STATUS.get(status) or ("server-error" if status >= 500 else "request-refused")


class Fault(Exception):  # noqa: N818 - it is the endpoint's, not ours
    """The endpoint misbehaved. ``body`` is the request that showed it, where one did."""

    def __init__(self, code: str, message: str, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.body = body
        assert code in FAULTS, code


class Skip(Exception):  # noqa: N818 - nothing is wrong
    """A check does not apply; the message says why."""
