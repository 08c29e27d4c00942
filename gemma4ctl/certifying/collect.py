"""Ask a server for the log-probabilities of the prompts, and time it.

SGLang's own ``/generate`` takes token ids and returns the natural logarithm of a token's
probability; nothing depends on a tokenizer or chat template.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gemma4ctl.certifying.compare import Sample
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.http import post
from gemma4ctl.errors import ServerFailedError

OUTPUT_TOKENS = 16
GIVEN_TOKENS = 32  # at the end of a prompt, whose log-probabilities are returned too
TIMED_TOKENS = 128
TIMED_PROMPT = tuple(range(1000, 1256))
TIMES = 5
TIMEOUT_S = 300.0


def collect(
    endpoint: Endpoint,
    prompts: Sequence[Sequence[int]],
    concurrency: int,
    given: int = GIVEN_TOKENS,
) -> list[Sample]:
    """One sample a prompt, ``concurrency`` requests at once.

    Each comes with the log-probabilities of the last ``given`` tokens of its prompt, for which
    SGLang needs a megabyte or more of GPU memory a token while it computes them.

    Raises:
        ServerFailedError: a request was not answered.
    """
    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(lambda prompt: _ask(endpoint, prompt, given), prompts))


def seconds_per_token(endpoint: Endpoint) -> float:
    """The median time of an output token of a single request, without its first one."""
    found = []
    for _ in range(TIMES):
        first, whole = (_seconds(endpoint, tokens) for tokens in (1, TIMED_TOKENS))
        found.append((whole - first) / (TIMED_TOKENS - 1))
    return statistics.median(found)


def sample(answer: dict[str, Any]) -> Sample:
    """What SGLang's answer to one prompt holds.

    Raises:
        KeyError, TypeError, ValueError: it has another form.
    """
    info = answer["meta_info"]
    chosen = info["output_token_logprobs"]
    return Sample(
        given=tuple(
            float(entry[0]) for entry in info["input_token_logprobs"] if entry[0] is not None
        ),
        tokens=tuple(int(entry[1]) for entry in chosen),
        logprobs=tuple(float(entry[0]) for entry in chosen),
        second=tuple(float(entries[1][0]) for entries in info["output_top_logprobs"]),
    )


def _ask(endpoint: Endpoint, prompt: Sequence[int], given: int) -> Sample:
    options = {
        "return_logprob": True,
        "top_logprobs_num": 2,
        "logprob_start_len": max(0, len(prompt) - given),
    }
    answer = _generate(endpoint, prompt, OUTPUT_TOKENS, options)
    try:
        return sample(answer)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ServerFailedError(
            "the server's log-probabilities have another form than SGLang 0.5.16 gives them",
            found=f"{type(error).__name__}: {error}",
            code="logprobs-form",
        ) from error


def _seconds(endpoint: Endpoint, tokens: int) -> float:
    began = time.perf_counter()
    _generate(endpoint, TIMED_PROMPT, tokens, {})
    return time.perf_counter() - began


def _generate(
    endpoint: Endpoint, prompt: Sequence[int], tokens: int, options: dict[str, Any]
) -> dict[str, Any]:
    sampling = {"max_new_tokens": tokens, "temperature": 0, "ignore_eos": True}
    document = {"input_ids": list(prompt), "sampling_params": sampling, **options}
    answer = post(endpoint, "/generate", document, TIMEOUT_S)
    found = answer.json() if answer.ok else None
    if not isinstance(found, dict):
        raise ServerFailedError(
            f"a prompt of {len(prompt)} tokens was not answered",
            found=answer.problem or f"status {answer.status}",
            code="not-answered",
        )
    return found
