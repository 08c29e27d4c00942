"""A stand-in for SGLang's ``/generate`` that only streams: for measuring clients.

All requests that are open get their next token in the same step, as a batch does on a GPU; every
chunk holds the whole answer so far, as SGLang's do. ``python benchmarks/stream_server.py STEP_MS``
prints the port it serves on, until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import cache

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
WORD, TOKEN = " words", 123_456


class Stream(asyncio.Protocol):
    """One connection, which asks for one answer."""

    open: set[Stream] = set()

    def __init__(self) -> None:
        self.received = bytearray()
        self.sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = bytes(self.received).partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n")
             if line.startswith(b"content-length:")), 0,
        )  # fmt: skip
        if end and len(body) >= length:
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"POST /generate "):
            self.transport.write(PLAIN)
            self.transport.close()
            return
        asked = json.loads(body)
        self.prompt_tokens = len(asked["input_ids"])
        self.length = asked["sampling_params"]["max_new_tokens"]
        self.transport.write(HEAD)
        self.open.add(self)

    def step(self) -> None:
        """Send the next token, and after the last one the end."""
        self.sent += 1
        start = chunk_start(self.sent)
        finish = b'{"type":"length"}' if self.sent == self.length else b"null"
        rest = b'"prompt_tokens":%d,"finish_reason":%s}}\n\n' % (self.prompt_tokens, finish)
        chunks = [b"%x\r\n" % (len(start) + len(rest)), start, rest, b"\r\n"]
        if self.sent == self.length:
            chunks.append(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            self.open.discard(self)
        self.transport.writelines(chunks)


@cache
def chunk_start(count: int) -> bytes:
    """The chunk after ``count`` tokens, up to what differs between requests."""
    text, ids = WORD * count, ",".join([str(TOKEN)] * count)
    return (
        f'data: {{"text":"{text}","output_ids":[{ids}],"meta_info":'
        f'{{"id":"7d1f4f6c3a4e4a0b8f2f0f6f6a1b2c3d","completion_tokens":{count},'
        '"cached_tokens":0,"weight_version":"default",'
    ).encode()


async def serve(step_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stream, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    due = loop.time()
    while True:
        due = max(due + step_s, loop.time())
        await asyncio.sleep(due - loop.time())
        for stream in list(Stream.open):
            stream.step()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) / 1000))
