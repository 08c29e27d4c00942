"""Ask an endpoint many things at once, and keep when each token came.

This is the front of :mod:`gemma4ctl.bench.load`, whose libraries are an extra.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gemma4ctl import extras
from gemma4ctl.bench.payload import Api
from gemma4ctl.bench.record import Record
from gemma4ctl.bench.workload import Prompt
from gemma4ctl.endpoint.address import Endpoint

SILENCE_S = 600.0  # a request may wait that long in a full server's queue


def require_packages() -> None:
    """Refuse to begin without the packages that the client needs.

    Raises:
        UsageError: aiohttp or msgspec is not installed.
    """
    for module in ("aiohttp", "msgspec"):
        extras.require(module, "client", "measuring with the built-in client")


@dataclass(frozen=True)
class Ran:
    """A finished run: a record of each prompt, in order, and how long all of them took."""

    records: list[Record]
    seconds: float
    interrupted: bool = False


def run(
    endpoint: Endpoint,
    prompts: Sequence[Prompt],
    *,
    concurrency: int,
    model: str,
    api: Api = "generate",
    silence_s: float = SILENCE_S,
    on_done: Callable[[Record], None] | None = None,
) -> Ran:
    """Send ``prompts`` in order, each no earlier than its arrival, ``concurrency`` at a time.

    SIGINT and SIGTERM, in the main thread, stop the run: what is not finished fails as
    "cancelled".

    Args:
        model: the name that OpenAI requests give.
        silence_s: seconds without a byte after which a request has failed.
        on_done: called with each record when its request has ended.

    Raises:
        UsageError: aiohttp or msgspec is not installed.
    """
    require_packages()
    from gemma4ctl.bench.load import Load

    load = Load(endpoint, prompts, model=model, api=api, silence_s=silence_s, on_done=on_done)
    interrupted = asyncio.run(load.run(concurrency))
    seconds = max((record.ended for record in load.records), default=0.0)
    return Ran(load.records, seconds, interrupted)
