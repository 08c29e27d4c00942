"""The load of one run: workers that send prompts and read the answers as they stream.

One thread and one event loop; every request has a connection of its own, as ``bench_serving``'s
have, so that none meets one that the server is about to close. Redirects are not followed: the
key goes to the named server only.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import aiohttp

from gemma4ctl.bench.answer import Answer
from gemma4ctl.bench.payload import PATHS, Api, body
from gemma4ctl.bench.record import Failure, Record
from gemma4ctl.bench.workload import Prompt
from gemma4ctl.endpoint.address import Endpoint

CONNECT_S = 30.0
SHOWN = 500  # bytes of an error page


class Load:
    """One run in progress; ``records`` has one of each prompt, in order."""

    def __init__(
        self,
        endpoint: Endpoint,
        prompts: Sequence[Prompt],
        *,
        model: str,
        api: Api,
        silence_s: float,
        on_done: Callable[[Record], None] | None,
    ) -> None:
        self._url = endpoint.url + PATHS[api]
        self._headers = {
            **endpoint.headers,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }
        self._prompts, self._model, self._api = prompts, model, api
        self._silence_s, self._on_done = silence_s, on_done
        unsent = Failure("cancelled", "the run was stopped before it was sent")
        self.records = [Record(index, failure=unsent) for index in range(len(prompts))]
        self._waiting = iter(range(len(prompts)))
        self._began = 0.0

    async def run(self, concurrency: int) -> bool:
        """Send everything, ``concurrency`` at a time; whether it was interrupted."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_S, sock_read=self._silence_s
        )
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            self._began = time.perf_counter()
            count = min(concurrency, len(self._prompts))
            workers = [asyncio.create_task(self._work(session)) for _ in range(count)]
            with _stopped_by_signals(workers):
                ends = await asyncio.gather(*workers, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return any(isinstance(end, asyncio.CancelledError) for end in ends)

    async def _work(self, session: aiohttp.ClientSession) -> None:
        """Send one prompt after the other, until there are no more."""
        for index in self._waiting:
            prompt = self._prompts[index]
            await asyncio.sleep(max(0.0, prompt.arrival_s - self._now()))
            record = self.records[index]
            try:
                record.failure = await self._ask(session, prompt, record)
            except asyncio.CancelledError:
                record.failure = Failure("cancelled", "the run was stopped while it was answered")
                record.ended = self._now()
                raise
            if self._on_done is not None:
                self._on_done(record)

    async def _ask(
        self, session: aiohttp.ClientSession, prompt: Prompt, record: Record
    ) -> Failure | None:
        """Send ``prompt`` and fill ``record``."""
        sent = body(prompt, self._api, self._model)
        record.started = self._now()
        try:
            async with session.post(
                self._url, data=sent, headers=self._headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    page = await response.content.read(SHOWN)
                    return Failure(f"http-{response.status}", page.decode(errors="replace"))
                answer = Answer(record, self._api)
                failure = await _read(response.content, answer, self._now)
            return failure or answer.too_short(prompt.output_tokens)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Failure("connect", str(error))
        except asyncio.TimeoutError:
            return Failure("timeout", f"nothing came for {self._silence_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Failure("disconnect", str(error) or type(error).__name__)
        except ValueError as error:
            return Failure("bad-stream", str(error))
        finally:
            record.ended = self._now()

    def _now(self) -> float:
        """Seconds since the start of the run."""
        return time.perf_counter() - self._began


async def _read(
    stream: aiohttp.StreamReader, answer: Answer, now: Callable[[], float]
) -> Failure | None:
    """Read ``stream`` to its end mark."""
    async for received in stream.iter_any():
        if answer.feed(received, now()):
            return answer.failure
    return answer.cut()


@contextmanager
def _stopped_by_signals(tasks: Sequence[asyncio.Task[None]]) -> Iterator[None]:
    """Have SIGINT and SIGTERM cancel ``tasks``; in other threads than the main one, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop() -> None:
        for task in tasks:
            task.cancel()

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
