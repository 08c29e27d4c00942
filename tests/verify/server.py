"""A server that answers as SGLang 0.5.16 does, and misbehaves in the ways it is told to.

Constructed after the response classes and stream of SGLang 0.5.16's OpenAI entry point, and held to
the form of its recorded answers by ``test_captured.py``. A misbehaviour is a name in
``Sglang.faults``; each is handled where a good server would act.
"""

from __future__ import annotations

import http.server
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.verify import brain
from tests.verify.brain import Said

MODEL = "google/gemma-4-E2B-it"
CONTEXT = 4096
KEY = "correct-horse"
PAUSE_S = 60.0  # of a fault that is about time; tests use shorter timeouts
DRIP_S = 0.05  # for a byte of an answer that drips

# A misbehaviour -> what is sent once and what again and again, with a pause in seconds after each.
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
ENDLESS = {
    "endless-header": (b"HTTP/1.1 200 OK\r\nX-Padding: ", b"x", 0.02),
    "endless-headers": (b"HTTP/1.1 200 OK\r\n", b"X-Padding: x\r\n", 0.0),
    "endless-continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    "endless-answer": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%b\r\n" % _CHUNKED,
        b"%x\r\n%b\r\n" % (1 << 16, b" " * (1 << 16)),
        0.0,
    ),
    "endless-event": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n" % _CHUNKED,
        b"1\r\nx\r\n",
        0.02,
    ),
    "endless-chunk-size": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%b\r\n1;" % _CHUNKED,
        b"x",
        0.02,
    ),
    "endless-refusal": (
        b"HTTP/1.1 500 Internal Server Error\r\n%b\r\n" % _CHUNKED,
        b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16)),
        0.0,
    ),
    "endless-slow-refusal": (
        b"HTTP/1.1 503 Service Unavailable\r\n%b\r\n" % _CHUNKED,
        b"1\r\nx\r\n",
        0.02,
    ),
    "endless-empty-gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n%b\r\n"
        b"a\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\r\n" % _CHUNKED,
        b"5\r\n\0\0\0\xff\xff\r\n",
        0.02,
    ),
}

_ENGINE = 'engine_type="unified",model_name="gemma"'
_RANK = f'{_ENGINE},moe_ep_rank="0",pp_rank="0",tp_rank="0"'
METRICS = f"""\
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{{{_RANK}}} 0.0
# HELP sglang:token_usage The token usage.
# TYPE sglang:token_usage gauge
sglang:token_usage{{{_RANK}}} 0.01
# HELP sglang:spec_accept_length Mean acceptance length of speculative decoding.
# TYPE sglang:spec_accept_length gauge
sglang:spec_accept_length{{{_RANK}}} 3.5
# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{{{_ENGINE}}} 1234.0
# HELP sglang:cached_tokens_total Number of cached prompt tokens by source.
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{{cache_source="device",{_ENGINE}}} %d.0
"""


@dataclass
class Sglang:
    """The state of one server. ``server_args`` come on top of those below."""

    faults: frozenset[str] = frozenset()
    random_weights: bool = False
    key: str | None = None
    architecture: str = "Gemma4ForConditionalGeneration"
    model: str = MODEL
    server_args: dict[str, Any] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    cached: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    left_alone: threading.Event = field(default_factory=threading.Event)  # nobody listens any more

    def arguments(self) -> dict[str, Any]:
        return {
            "model_path": self.model,
            "version": "0.5.16",
            "load_format": "dummy" if self.random_weights else "auto",
            "api_key": self.key,
            "reasoning_parser": "gemma4",
            "tool_call_parser": "gemma4",
            "grammar_backend": "xgrammar",
            "enable_metrics": True,
            "enable_cache_report": True,
            "disable_radix_cache": False,
            "speculative_algorithm": "FROZEN_KV_MTP",
            "speculative_num_draft_tokens": 6,
            "max_total_num_tokens": 100_000,
            "max_req_input_len": CONTEXT - 6,
            "internal_states": [{"avg_spec_accept_length": 3.25, "api_key": self.key}],
            **self.server_args,
        }

    def complete(self, body: dict[str, Any]) -> Completion:
        """What is answered to ``body``, with the faults of content."""
        self.requests.append(body)
        said = random_noise(body) if self.random_weights else brain.answer(body)
        said = self._spoiled(said, body)
        thoughts, words = said.reasoning.split(), said.content.split()
        tokens = len(thoughts) + len(words) + 20 * len(said.calls)
        limit = int(body["max_tokens"])
        ended = tokens <= limit and "never-ends" not in self.faults
        if not ended:
            left = max(0, limit - len(thoughts))
            said = Said(" ".join(words[:left]), " ".join(thoughts[:limit]))
        reason = "length" if not ended else "tool_calls" if said.calls else "stop"
        usage = self._usage(body, min(tokens, limit), min(len(thoughts), limit))
        return Completion(body["model"], said, reason, usage, bool(body.get("tools")))

    def _spoiled(self, said: Said, body: dict[str, Any]) -> Said:
        faults = self.faults
        if "thinking-in-content" in faults and said.reasoning:
            return Said(f"<|channel>thought\n{said.reasoning}<channel|>{said.content}")
        if "thinking-label-in-content" in faults and said.reasoning:
            return Said(f"thought\n{said.reasoning}\n{said.content}")
        if "thinking-ignored" in faults:
            return Said(said.content, "", said.calls)
        if "thinking-always" in faults and said.content == "391":
            return Said(said.content, said.reasoning or "Let me see.")
        if "tools-unparsed" in faults and said.calls:
            return Said('<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>')
        if "tool-arguments" in faults:
            return Said(said.content, "", tuple((n, a | {"unit": "kelvin"}) for n, a in said.calls))
        if "tool-unknown" in faults:
            return Said(said.content, "", tuple(("rm", given) for _, given in said.calls))
        if "one-call-only" in faults:
            return Said(said.content, said.reasoning, said.calls[:1])
        if "turn-marker" in faults:
            return Said(f"{said.content}<turn|>")
        if "schema-ignored" in faults and body.get("response_format"):
            return Said("Paris is the capital of France.")
        if "answers-mixed" in faults and said.content in ("river", "candle"):
            return Said("apple")
        if "empty" in faults:
            return Said("")
        return said

    def _usage(self, body: dict[str, Any], completion: int, thoughts: int) -> dict[str, Any]:
        prompt = self.prompt_tokens(body)
        if "stream-counts-more" in self.faults and body.get("stream"):
            prompt += 1
        seen = json.dumps(body["messages"])
        cached = prompt - 1 if seen in self.seen and "cache-missed" not in self.faults else 0
        self.seen.add(seen)
        self.cached += cached
        told = cached if self.arguments()["enable_cache_report"] else 0
        usage = {
            "prompt_tokens": prompt,
            "total_tokens": prompt + max(1, completion),
            "completion_tokens": max(1, completion),
            "prompt_tokens_details": _details(told, body),
            "reasoning_tokens": thoughts,
        }
        if "wrong-usage" in self.faults:
            usage["total_tokens"] += 5
        if "too-many-tokens" in self.faults:
            usage["completion_tokens"] += 5000
            usage["total_tokens"] += 5000
        return usage

    def prompt_tokens(self, body: dict[str, Any]) -> int:
        text, images, sounds = brain.parts(body)
        tokens = brain.prompt_tokens(body)
        image, sound = (n + brain.DELIMITERS for n in (brain.IMAGE_TOKENS, brain.AUDIO_TOKENS))
        if "image-dropped" in self.faults:
            tokens -= image * len(images)
        if "second-image-dropped" in self.faults and len(images) > 1:
            tokens -= image * (len(images) - 1)
        if "audio-dropped" in self.faults:
            tokens -= sound * len(sounds)
        if "context-cut" in self.faults:
            tokens = min(tokens, 2500)
        if "words-uncounted" in self.faults:
            tokens -= len(text.split()) - 1
        return tokens


@dataclass
class Completion:
    """One answer in SGLang's terms."""

    model: str
    said: Said
    finish_reason: str
    usage: dict[str, Any]
    may_call: bool = False  # tools were given: a parser has looked at the content
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self) -> dict[str, Any]:
        calls = [
            {"id": f"call_{n}", "index": n, "type": "function", "function": function}
            for n, function in enumerate(self.functions())
        ]
        message = {
            "role": "assistant",
            "content": self.said.content,
            "reasoning_content": self.said.reasoning or None,
            "tool_calls": calls or None,
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish_reason,
            "matched_stop": self.matched_stop(),
        }
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            "usage": self.usage,
            "metadata": {"weight_version": "default"},
        }

    def matched_stop(self) -> int | None:
        """The token that ended the turn."""
        return None if self.finish_reason == "length" else 106

    def functions(self) -> list[dict[str, str]]:
        return [{"name": n, "arguments": json.dumps(a)} for n, a in self.said.calls]

    def chunks(self) -> Iterator[dict[str, Any]]:
        yield self.text_chunk(role="assistant", content="")
        for word in _pieces(self.said.reasoning):
            yield self.text_chunk(reasoning_content=word)
        for word in _pieces(self.said.content):
            yield (
                self.parsed_chunk(content=word) if self.may_call else self.text_chunk(content=word)
            )
        for n, function in enumerate(self.functions()):
            head = {"id": f"call_{n}", "index": n, "type": "function"}
            first = {**head, "function": {**function, "arguments": ""}}
            yield self.parsed_chunk(tool_calls=[first])
            rest = {"name": None, "arguments": function["arguments"]}
            yield self.parsed_chunk(tool_calls=[{**head, "id": None, "function": rest}])
        end = self.choice({"reasoning_content": None}, self.finish_reason)
        yield self.event([end | {"matched_stop": self.matched_stop()}])
        yield self.event([], usage=self.usage)

    def text_chunk(self, *, reasoning_content: str | None = None, **more: str) -> dict[str, Any]:
        return self.event([self.choice({"reasoning_content": reasoning_content, **more})])

    def parsed_chunk(self, **given: Any) -> dict[str, Any]:
        """An event of SGLang's tool parser, which writes out every field."""
        fields = ("role", "content", "reasoning_content", "tool_calls")
        return self.event([self.choice(dict.fromkeys(fields) | given)], usage=None)

    @staticmethod
    def choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
            "matched_stop": None,
        }

    def event(self, choices: list[Any], **more: Any) -> dict[str, Any]:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created}
        return {**head, "model": self.model, "choices": choices, **more}


def random_noise(body: dict[str, Any]) -> Said:
    """What random weights say with the stand-in tokenizer: words like t123, without an end."""
    noise = " ".join(f"t{17 * n % 997}" for n in range(int(body["max_tokens"]) + 1))
    return Said("", noise) if brain.thinks(body) else Said(noise)


def _details(cached: int, body: dict[str, Any]) -> dict[str, int] | None:
    """Of the prompt's tokens; None where there is nothing to tell."""
    _, images, sounds = brain.parts(body)
    media = {
        "image_tokens": brain.IMAGE_TOKENS * len(images),
        "audio_tokens": brain.AUDIO_TOKENS * len(sounds),
    }
    found = {name: tokens for name, tokens in media.items() if tokens}
    return {"cached_tokens": cached, **found} if cached or found else None


def _pieces(text: str) -> list[str]:
    return [f"{word} " for word in text.split(" ")[:-1]] + text.split(" ")[-1:] if text else []


class Handler(http.server.BaseHTTPRequestHandler):
    """The routes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    sglang: Sglang

    def do_GET(self) -> None:
        sglang = self.sglang
        if self.path == "/health":
            self._health()
        elif self.path == "/metrics":
            self._metrics()
        elif not self._allowed():
            self.error(401, "Unauthorized")
        elif self.path == "/v1/models":
            card = {"id": sglang.model, "object": "model", "created": 1, "owned_by": "sglang"}
            length = None if "no-limit" in sglang.faults else CONTEXT
            more = {"root": sglang.model, "parent": None, "max_model_len": length}
            self.give_json({"object": "list", "data": [card | more]})
        elif self.path == "/model_info" and "not-sglang" not in sglang.faults:
            able = dict.fromkeys(
                ("has_image_understanding", "has_audio_understanding"),
                "text-only" not in sglang.faults,
            )
            shape = {"model_type": "gemma4", "architectures": [sglang.architecture]}
            self.give_json({"model_path": sglang.model, **able, **shape})
        elif self.path == "/server_info" and "not-sglang" not in sglang.faults:
            self.give_json(sglang.arguments())
        else:
            self.error(404, "Not Found")

    def _health(self) -> None:
        faults = self.sglang.faults
        if "health-hangs" in faults:
            time.sleep(PAUSE_S)
        if "health-hangs-up" in faults:
            self.close_connection = True
        else:
            no_page, ill = "no-health" in faults, "unhealthy" in faults
            self.give(b"", status=404 if no_page else 503 if ill else 200, kind="")

    def _metrics(self) -> None:
        faults = self.sglang.faults
        if "no-metrics" in faults or not self.sglang.arguments()["enable_metrics"]:
            self.error(404, "Not Found")
        elif "html-metrics" in faults:
            self.give(b"<html>It works!</html>\n", kind="text/html")
        elif "other-metrics" in faults:
            self.give(b"process_cpu_seconds_total 1.0\n", kind="text/plain")
        else:
            page = (METRICS % self.sglang.cached).encode()
            self.give(page, kind="text/plain; version=0.0.4; charset=utf-8")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refusal = self._refusal(body)
        if refusal is not None:
            self.error(*refusal)
            return
        if "hangs" in self.sglang.faults:
            time.sleep(PAUSE_S)
        if endless := ENDLESS.keys() & self.sglang.faults:
            self._without_end(*ENDLESS[endless.pop()])
            return
        completion = self.sglang.complete(body)
        if "wrong-model" in self.sglang.faults:
            completion.model = "meta-llama/Llama-3-8B"
        (self._stream if body.get("stream") else self._whole)(completion)

    def _refusal(self, body: dict[str, Any]) -> tuple[int, str] | None:
        """The status and message of a refusal, if the request is to be refused."""
        if not body["messages"]:
            return 400, "Messages cannot be empty."
        faults, tokens = self.sglang.faults, self.sglang.prompt_tokens(body)
        limit = 3000 if "context-short" in faults else CONTEXT
        for status in (307, 404, 429, 500, 503):
            if f"http-{status}" in faults:
                return status, "as told"
        if not self._allowed():
            return 401, "Unauthorized"
        if "breaks-near-the-limit" in faults and tokens > CONTEXT // 2:
            return 500, "illegal memory access"
        if "breaks-beyond-the-limit" in faults and tokens > CONTEXT:
            return 500, "illegal memory access"
        if tokens + body["max_tokens"] > limit and "context-unchecked" not in faults:
            told = f"The input ({tokens} tokens) is longer than the model's context length"
            return 400, f"{told} ({limit} tokens)."
        return None

    def _without_end(self, head: bytes, again: bytes, pause_s: float) -> None:
        """Send until nobody listens any more."""
        self.close_connection = True
        try:
            self.wfile.write(head)
            while True:
                self.wfile.write(again)
                time.sleep(pause_s)
        finally:
            self.sglang.left_alone.set()

    def _whole(self, completion: Completion) -> None:
        faults, document = self.sglang.faults, completion.whole()
        if "tool-json" in faults:
            for call in document["choices"][0]["message"]["tool_calls"] or ():
                call["function"]["arguments"] = call["function"]["arguments"][:-3]
        if "no-finish-reason" in faults:
            document["choices"][0]["finish_reason"] = None
        if "two-choices" in faults:
            document["choices"] *= 2
        if "no-tool-id" in faults:
            for call in document["choices"][0]["message"]["tool_calls"] or ():
                call["id"] = ""
        text = json.dumps(document)
        if "not-json" in faults:
            text = text[: len(text) // 2]
        if "json-list" in faults:
            text = "[1]"
        data = text.encode()
        if "bad-utf8" in faults:
            data = data.replace(b"Paris", b"Par\xff\xfes")
        if "cut-short" in faults:
            self.begin("application/json", len(data) + 50)
            self.wfile.write(data[:50])
            self.close_connection = True
        elif "hangs-up" in faults:
            self.close_connection = True
        elif "drips" in faults:
            self._drip(data)
        else:
            html = "wrong-content-type" in faults
            self.give(data, kind="text/html" if html else "application/json")

    def _drip(self, data: bytes) -> None:
        self.begin("application/json", len(data))
        for at in range(len(data)):
            self.wfile.write(data[at : at + 1])
            time.sleep(DRIP_S)

    def _stream(self, completion: Completion) -> None:
        plain = "wrong-content-type" in self.sglang.faults
        self.send_response(200)
        kind = "text/plain" if plain else "text/event-stream; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in self._events(completion):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        if "disconnects" in self.sglang.faults:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _events(self, completion: Completion) -> Iterator[bytes]:
        faults = self.sglang.faults
        for number, chunk in enumerate(completion.chunks()):
            self._spoil(chunk, number)
            choices = chunk["choices"]
            if "slow-first-token" in faults and number == 1:
                time.sleep(PAUSE_S)
            if "stalls" in faults and number == 3:
                time.sleep(PAUSE_S)
            if number == 4 and ("disconnects" in faults or "cut-without-finish" in faults):
                return
            if "no-finish-event" in faults and choices and choices[0]["finish_reason"]:
                continue
            if "no-stream-usage" in faults and not choices:
                continue
            yield self._encoded(chunk, number)
        if "no-done" not in faults:
            yield b"data: [DONE]\n\n"

    def _spoil(self, chunk: dict[str, Any], number: int) -> None:
        """Change an event as told."""
        faults = self.sglang.faults
        for choice in chunk["choices"]:
            if "second-choice" in faults and number == 2:
                choice["index"] = 1
            for call in choice["delta"].get("tool_calls") or ():
                if "tool-index" in faults:  # the tool's place in the request: get_weather is last
                    call["index"] = len(self.sglang.requests[-1]["tools"]) - 1
                if "tool-index-lost" in faults and not call["function"]["name"]:
                    call["index"] += 1
                if "same-tool-id" in faults and call["id"]:
                    call["id"] = "call_0"
                if "tool-json" in faults and not call["function"]["name"]:
                    call["function"]["arguments"] = call["function"]["arguments"][:-3]
        if "changing-id" in faults:
            chunk["id"] += str(number)
        if "no-delta" in faults and number == 2:
            chunk["choices"][0].pop("delta")

    def _encoded(self, chunk: dict[str, Any], number: int) -> bytes:
        faults, data = self.sglang.faults, json.dumps(chunk).encode()
        if number == 2 and "bad-utf8" in faults:
            data = data.replace(b'"content": "', b'"content": "\xff\xfe')
        if number == 2 and "huge-event" in faults:
            data = data.replace(b'"content": "', b'"content": "' + b"x" * (2 << 20))
        if number == 2 and "broken-event" in faults:
            data = data[:-20]
        if number == 2 and "stream-error" in faults:
            data = b'{"error": {"object": "error", "message": "out of memory", "code": 500}}'
        if number == 2 and "not-an-event" in faults:
            return b"Internal Server Error\n\n"
        return b"data: " + data + b"\n\n"

    def _allowed(self) -> bool:
        key = self.sglang.key
        return key is None or self.headers.get("Authorization") == f"Bearer {key}"

    def error(self, status: int, message: str) -> None:
        kind = "BadRequestError" if status == 400 else "Error"
        error = {"object": "error", "message": message, "type": kind, "param": None}
        self.give(json.dumps(error | {"code": status}).encode(), status=status)

    def give_json(self, document: Any) -> None:
        self.give(json.dumps(document).encode())

    def begin(self, kind: str, length: int, status: int = 200) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def give(self, data: bytes, *, status: int = 200, kind: str = "application/json") -> None:
        self.begin(kind, len(data), status)
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


class Server(http.server.ThreadingHTTPServer):
    """Does not wait for clients, nor mind when they leave."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None: ...


@contextmanager
def serving(sglang: Sglang) -> Iterator[str]:
    """The URL of a running server."""
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"sglang": sglang}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
