"""Ask a server about images, for the same comparison: they reach the layers as embeddings.

The chat API gives tokens by their text, so a token's number here is a checksum of its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zlib import crc32

from gemma4ctl.certifying.collect import OUTPUT_TOKENS, TIMEOUT_S
from gemma4ctl.certifying.compare import Sample
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.http import post
from gemma4ctl.errors import ServerFailedError
from gemma4ctl.verify.media import COLOURS, image_part, text_part

ASKED = ("What is this?", "Name the colour.", "Describe both images in one word each.")


def collect(endpoint: Endpoint, concurrency: int) -> list[Sample]:
    """One sample a question, ``concurrency`` requests at once.

    Raises:
        ServerFailedError: a request was not answered.
    """
    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(lambda content: _ask(endpoint, content), questions()))


def questions() -> list[list[dict[str, Any]]]:
    """The contents of the messages: an image of each colour, the last with a second one."""
    asked = [
        [image_part(colour), text_part(text)] for colour, text in zip(COLOURS, ASKED, strict=True)
    ]
    asked[-1].insert(0, image_part(next(iter(COLOURS))))
    return asked


def sample(answer: dict[str, Any]) -> Sample:
    """What an answer of the chat API holds.

    Raises:
        KeyError, TypeError, ValueError, IndexError: it has another form.
    """
    entries = answer["choices"][0]["logprobs"]["content"]
    return Sample(
        given=(),
        tokens=tuple(crc32(entry["token"].encode()) for entry in entries),
        logprobs=tuple(float(entry["logprob"]) for entry in entries),
        second=tuple(_second(entry["top_logprobs"]) for entry in entries),
    )


def _second(likeliest: Sequence[dict[str, Any]]) -> float:
    """The runner-up's; that of the first where both have the same text."""
    return float(likeliest[-1]["logprob"])


def _ask(endpoint: Endpoint, content: list[dict[str, Any]]) -> Sample:
    document = {
        "model": "default",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": OUTPUT_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": True,
        "top_logprobs": 2,
    }
    answer = post(endpoint, "/v1/chat/completions", document, TIMEOUT_S)
    try:
        return sample(answer.json())
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ServerFailedError(
            "a question about an image was not answered with log-probabilities",
            found=answer.problem or f"status {answer.status}, {type(error).__name__}: {error}",
            code="not-answered",
        ) from error
