"""What real servers answered: it is read, checked as on the day, and found out when changed.

The recordings are described in ``captured/README.md``. Random weights called no tool: streamed
calls are known from SGLang's own code, run without a server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts, read_facts
from gemma4ctl.endpoint.metrics import parse
from gemma4ctl.planning.rules.serving import NO_AUDIO, SEEN_TO_REFUSE
from gemma4ctl.profiles import load
from gemma4ctl.verify import reply
from gemma4ctl.verify.exchange import Exchange
from gemma4ctl.verify.faults import Fault
from gemma4ctl.verify.report import Result
from gemma4ctl.verify.run import Options, run
from tests.verify.brain import Said
from tests.verify.replay import (
    CAPTURED,
    PAGES,
    REPORTS,
    VARIANTS,
    Recording,
    events,
    kind,
    recordings,
    replaying,
    report,
)
from tests.verify.server import Completion, Sglang, serving
from tests.waiting import PATIENCE_S

# The checks whose requests were recorded, or can be answered from what was.
REPLAYED = (
    "health", "model", "chat", "stream", "image", "audio", "thinking", "thinking-stream",
    "tools", "tools-stream", "tools-several", "json-schema", "metrics",
)  # fmt: skip
FIGURES = ("context_length", "max_tokens", "image_tokens", "audio_tokens")
WHOLE = ("chat", "chat-repeated", "image", "audio", "thinking-on", "thinking-off", "tools")
STREAMED = ("stream", "image-stream", "thinking-on-stream", "tools-stream", "tools-several-stream")
OF_SOME = {"audio", "audio-refused", "thinking-off-stream"}  # recorded for some of the servers

ALL = {variant: recordings(variant) for variant in VARIANTS}

variants = pytest.mark.parametrize("variant", VARIANTS)


def each(*names: str) -> pytest.MarkDecorator:
    """Every recording of these names, as variant and name."""
    found = [
        (variant, name) for variant in VARIANTS for name in names if name in recordings(variant)
    ]
    return pytest.mark.parametrize(("variant", "name"), found)


def verified(url: str, folder: Path, *only: str, random_weights: bool = True) -> tuple[Result, ...]:
    """The results of checks of the server at ``url``."""
    options = Options(only=only, timeout_s=PATIENCE_S, folder=folder, random_weights=random_weights)
    return run(Endpoint(url), options).results


def exchange(recording: Recording) -> Exchange:
    return Exchange(recording.request, raw=bytearray(recording.body.encode()))


def facts_of(variant: str) -> Facts:
    with replaying(variant) as url:
        return read_facts(Endpoint(url), PATIENCE_S)


def test_the_recordings_are_there() -> None:
    assert {"E2B", "12B", "26B-A4B", "E2B-mtp"} <= set(VARIANTS)
    needed = {*PAGES, *WHOLE, *STREAMED, "too-long", "no-messages"} - OF_SOME
    profiles = load.load().variants
    for variant in VARIANTS:
        recorded = recordings(variant).keys()
        assert needed <= recorded <= needed | OF_SOME
        modalities = profiles[variant.removesuffix("-mtp")].modalities
        assert ("audio" in recorded) is ("audio" in modalities)
        assert ("audio-refused" in recorded) is ("audio" not in modalities)


# As on the day


@variants
def test_the_checks_find_what_they_found_at_the_server(variant: str, tmp_path: Path) -> None:
    then = {check["name"]: check for check in report(variant)["checks"]}
    with replaying(variant) as url:
        found = verified(url, tmp_path, *REPLAYED)
    for now in found:
        said = then[now.check]
        assert (now.status, now.fault) == (said["status"], said["fault"]), now.detail
        assert set(now.unjudged) == set(said["unjudged"])
        for figure in set(FIGURES) & said["figures"].keys():
            assert now.figures[figure] == said["figures"][figure]


@variants
def test_nothing_failed_then(variant: str) -> None:
    found = report(variant)
    assert found["summary"]["failed"] == 0
    assert {c["name"] for c in found["checks"] if c["status"] == "pass"} >= {
        "health", "model", "chat", "stream", "image", "images", "thinking", "thinking-stream",
        "tools", "tools-stream", "tools-several", "concurrent", "prefix-cache", "context",
        "metrics",
    }  # fmt: skip
    assert found["sglang_version"] == "0.5.16"


# Read


@variants
def test_a_server_is_known_by_its_pages(variant: str) -> None:
    facts, name = facts_of(variant), variant.removesuffix("-mtp")
    assert facts.problems == ()
    assert (facts.variant, facts.release) == (name, "0.5.16")
    assert facts.model_ids == (facts.model_path,) == (f"/redacted/{name}-it",)
    assert facts.random_weights is True
    assert facts.drafts is variant.endswith("-mtp")
    assert facts.argument("max_req_input_len") == 32_762
    assert facts.max_tokens == 32_768
    assert facts.has_images is True
    assert facts.accept_length is None  # nothing was generated yet


@pytest.mark.parametrize(
    ("variant", "architecture", "context"),
    [
        ("E2B", "Gemma4ForConditionalGeneration", 131_072),
        ("12B", "Gemma4UnifiedForConditionalGeneration", 262_144),
        ("26B-A4B", "Gemma4ForConditionalGeneration", 262_144),
    ],
)
def test_architecture_and_context(variant: str, architecture: str, context: int) -> None:
    facts = facts_of(variant)
    assert (facts.architecture, facts.context_length) == (architecture, context)


@variants
def test_the_metrics_of_a_server(variant: str) -> None:
    metrics = parse(recordings(variant)["metrics"].body)
    assert metrics.largest("sglang:token_usage") == 0.0
    assert metrics.total("sglang:max_total_num_tokens", tp_rank="0") == 32_768
    assert metrics.total("sglang:num_running_reqs") == 0
    first = metrics.histogram("sglang:time_to_first_token_seconds")
    assert first is not None and first.count >= 1 and first.mean is not None
    assert first.buckets[-1] == (float("inf"), first.count)
    assert 0 < first.mean < 60


@each(*WHOLE)
def test_an_answer_is_read(variant: str, name: str) -> None:
    recording = recordings(variant)[name]
    answer = reply.whole(exchange(recording))
    told = recording.usage()
    assert answer.finish_reason == "length"
    assert answer.usage.completion == recording.request["max_tokens"]
    cached = told["prompt_tokens_details"]["cached_tokens"]
    assert answer.usage == reply.Usage(told["prompt_tokens"], told["completion_tokens"], cached)
    words = (answer.reasoning or answer.content).split()
    assert len(words) == answer.usage.completion
    assert bool(answer.reasoning) is (name == "thinking-on")
    assert answer.tool_calls == ()


@each(*STREAMED, "thinking-off-stream")
def test_a_stream_is_read(variant: str, name: str) -> None:
    recording = recordings(variant)[name]
    answer = reply.streamed(exchange(recording), None)
    assert answer.finish_reason == "length"
    assert answer.usage.completion == recording.request["max_tokens"]
    words = (answer.reasoning or answer.content).split()
    assert len(words) == answer.usage.completion  # not one was lost
    assert bool(answer.reasoning) is (name == "thinking-on-stream")
    assert bool(answer.content) is (name != "thinking-on-stream")
    assert answer.usage.cached is not None


@variants
def test_a_repeated_prompt_is_told_to_be_in_the_cache(variant: str) -> None:
    usage = reply.whole(exchange(recordings(variant)["chat-repeated"])).usage
    assert usage.cached is not None
    assert usage.prompt - 2 <= usage.cached < usage.prompt  # MTP leaves one token more


@each("image", "audio")
def test_images_and_sounds_are_counted(variant: str, name: str) -> None:
    details = recordings(variant)[name].usage()["prompt_tokens_details"]
    assert details[f"{name}_tokens"] == {"image": 256, "audio": 50}[name]


@variants
def test_what_a_server_refuses_it_explains(variant: str) -> None:
    recorded = recordings(variant)
    too_long, empty = recorded["too-long"], recorded["no-messages"]
    assert too_long.status == empty.status == 400
    context = f"{facts_of(variant).context_length} tokens"
    assert f"longer than the model's context length ({context})" in too_long.body
    with replaying(variant) as url:
        refused = http.post(Endpoint(url), "/v1/chat/completions", empty.request, PATIENCE_S)
    assert refused.problem == "HTTP 400"
    assert refused.json()["message"] == "Messages cannot be empty."


@each("audio-refused")
def test_the_limit_of_the_plan_refuses_a_sound(
    variant: str, name: str, script: Callable[[str], ModuleType]
) -> None:
    recorded = recordings(variant)
    refused = recorded[name]
    assert refused.status == 400
    assert json.loads(refused.body)["message"] == "Audio count 1 exceeds limit 0 per request."
    server = json.loads((REPORTS / variant / "server.json").read_text())
    assert NO_AUDIO in server["argv"]
    assert tuple(server[key] for key in ("variant", "gpu", "sglang_version")) == SEEN_TO_REFUSE
    asked = [one for one, _ in script("verify_endpoint").requests(random_weights=True, sound=name)]
    later = asked[asked.index(name) + 1 :]
    assert "tools" in later and all(recorded[one].status in (200, 400) for one in later)


# The constructed server has the same form


def form(value: Any) -> Any:
    """Names in their order and the types of values, of a list those of its distinct items."""
    if isinstance(value, dict):
        return [(name, form(part)) for name, part in value.items()]
    if isinstance(value, list):
        return ["list", *_distinct(map(form, value))]
    return type(value).__name__


def _distinct(forms: Iterator[Any]) -> list[Any]:
    """The forms without a repetition of the one before."""
    found: list[Any] = []
    for each in forms:
        if not found or found[-1] != each:
            found.append(each)
    return found


@pytest.fixture
def asked(script: Callable[[str], ModuleType]) -> dict[str, dict[str, Any]]:
    """The requests that were recorded, with their media, by name."""
    return dict(script("verify_endpoint").requests(random_weights=True, sound="audio"))


def constructed(request: dict[str, Any]) -> http.Answer:
    """The test server's answer to the second of two equal requests, as most were recorded."""
    sglang = Sglang(random_weights=True)
    with serving(sglang) as url:
        body = {"model": sglang.model, "temperature": 0, **request}
        answers = [
            http.post(Endpoint(url), "/v1/chat/completions", body, PATIENCE_S) for _ in range(2)
        ]
    return answers[-1]


@pytest.mark.parametrize("name", [*WHOLE, "too-long", "no-messages"])
def test_the_constructed_server_answers_in_this_form(
    name: str, asked: dict[str, dict[str, Any]]
) -> None:
    real, made = recordings("E2B")[name], constructed(asked[name])
    assert (made.status, made.content_type) == (real.status, real.content_type)
    assert form(made.json()) == form(json.loads(real.body))


@pytest.mark.parametrize("name", STREAMED)
def test_the_constructed_server_streams_in_this_form(
    name: str, asked: dict[str, dict[str, Any]]
) -> None:
    real, made = recordings("E2B")[name], constructed(asked[name])
    assert made.content_type == real.content_type
    forms = [
        form([json.loads(event) for event in events(body)])
        for body in (made.body.decode(), real.body)
    ]
    assert forms[0] == forms[1]
    assert len(forms[0]) >= 4  # the role, the words, the end, the usage


CALLED = Said(calls=(("get_weather", {"city": "Paris", "unit": "celsius"}),))


def calls_in(file: str) -> list[dict[str, Any]]:
    """The events of tool calls in a file."""
    stream = f"{(CAPTURED / file).read_text(encoding='utf-8')}data: [DONE]\n\n"
    return [json.loads(event) for event in events(stream)]


def parts(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The part of a call in each event."""
    return [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks]


def streamed(calls: list[dict[str, Any]]) -> reply.Reply:
    """The answer of a stream with ``calls``, from its first to its last event."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    first, *_, end, last = Completion("m", CALLED, "tool_calls", usage, id="i").chunks()
    texts = [*(json.dumps(event) for event in (first, *calls, end, last)), "[DONE]"]
    data = "".join(f"data: {text}\n\n" for text in texts)
    return reply.streamed(Exchange({"max_tokens": 64}, raw=bytearray(data.encode())), None)


def test_the_constructed_server_streams_a_call_in_this_form() -> None:
    real = calls_in("tool-call.txt")
    made = list(Completion("m", CALLED, "tool_calls", {}).chunks())[1:-2]
    assert form(made) == form(real)
    for part, like in zip(parts(made), parts(real), strict=True):
        assert (part["index"], part["function"]) == (like["index"], like["function"])


def test_a_streamed_call_is_put_together() -> None:
    (call,) = streamed(calls_in("tool-call.txt")).tool_calls
    assert (call.index, call.name) == (0, "get_weather")
    assert call.id is not None and call.id.startswith("call_")
    assert json.loads(call.arguments) == CALLED.calls[0][1]


def test_the_wrong_index_of_sglang_is_found_and_the_right_one_is_not() -> None:
    calls = calls_in("tool-calls.txt")
    with pytest.raises(Fault, match="is streamed with index 1") as raised:
        streamed(calls)
    assert raised.value.code == "tool-index"
    for part in parts(calls)[:2]:
        part["index"] = 0
    found = streamed(calls).tool_calls
    assert [(call.index, json.loads(call.arguments)["city"]) for call in found] == [
        (0, "Paris"),
        (1, "Tokyo"),
    ]


@pytest.mark.parametrize("name", PAGES)
def test_the_constructed_pages_hold_nothing_that_real_ones_do_not(name: str) -> None:
    real = recordings("E2B-mtp")[name]
    with serving(Sglang()) as url:
        made = http.get(Endpoint(url), PAGES[name], PATIENCE_S)
    assert (made.status, made.content_type) == (real.status, real.content_type)
    if name == "metrics":
        lines = [_labels(page) for page in (made.body.decode(), real.body)]
        later = {"sglang:cached_tokens_total"}  # comes with the first cached token
        assert {n: labels for n, labels in lines[0].items() if n not in later}.items() <= (
            lines[1].items()
        )
    elif name != "health":
        known = set(names_in(json.loads(real.body)))
        assert known and set(names_in(made.json())) <= known


def names_in(value: Any, at: str = "") -> Iterator[str]:
    """The names of all values, with the way to each; SGLang's states are cut in the recording."""
    inner = [("", part) for part in value] if isinstance(value, list) else []
    inner = list(value.items()) if isinstance(value, dict) else inner
    for name, part in inner:
        yield f"{at}.{name}"
        if name != "internal_states":
            yield from names_in(part, f"{at}.{name}")


def _labels(page: str) -> dict[str, frozenset[str]]:
    """The names of labels of each metric."""
    samples = parse(page).samples
    return {name: frozenset(values[0].labels) for name, values in samples.items()}


# Changed


class Plant(NamedTuple):
    """A change of one recording, the check that notices it, and the fault it is called."""

    recording: str
    pattern: str
    put: str
    check: str
    fault: str
    random_weights: bool = True


CALL = (
    '"tool_calls":[{"id":"call_1","index":1,"type":"function",'
    '"function":{"name":"get_weather","arguments":"{}"}}]'
)
PLANTS = {
    "no-usage": Plant("chat", r',"usage":\{.*?\}.*?\}', "", "chat", "wrong-usage"),
    "no-finish": Plant("chat", r'"finish_reason":"length",', "", "chat", "bad-shape"),
    "no-role": Plant("chat", r'"role":"assistant",', "", "chat", "bad-shape"),
    "total": Plant("chat", r'"total_tokens":48', '"total_tokens":49', "chat", "wrong-usage"),
    "model": Plant("chat", r'"model":"[^"]*"', '"model":"other"', "chat", "wrong-model"),
    "html": Plant("chat", r"\A\{", "<html>{", "chat", "bad-json"),
    "no-done": Plant("stream", r"data: \[DONE\]\n\n", "", "stream", "truncated-stream"),
    "no-end": Plant("stream", r'"length"', "null", "stream", "truncated-stream"),
    "no-last": Plant("stream", r"data: [^\n]*\"usage\".*?\n\n", "", "stream", "wrong-usage"),
    "choice": Plant("stream", r'"index":0', '"index":1', "stream", "bad-shape"),
    "id": Plant("stream", r'"id":"', '"id":"x', "stream", "bad-shape"),
    "half": Plant("stream", r'"matched_stop":null\}\]\}\n', "\n", "stream", "bad-json"),
    "count": Plant(
        "stream", ':20,"total_tokens":84', ':21,"total_tokens":85', "stream",
        "wrong-usage",
    ),
    "image": Plant(
        "image", ':273,"total_tokens":321', ':15,"total_tokens":63', "image",
        "image-dropped",
    ),
    "sound": Plant(
        "audio", ':67,"total_tokens":115', ':15,"total_tokens":63', "audio",
        "audio-dropped",
    ),
    "thoughts": Plant(
        "thinking-on", r'"reasoning_content":"', '"reasoning_content":1,"x":"', "thinking",
        "bad-shape",
    ),
    "leak": Plant(
        "thinking-on", r'"content":""', r'"content":"<|channel>thought\\n"', "thinking",
        "thinking-leaked", random_weights=False,
    ),
    "leak-stream": Plant(
        "thinking-on-stream", r'\{"reasoning_content":" t', '{"content":"<channel|> t',
        "thinking-stream", "thinking-leaked", random_weights=False,
    ),
    "tool-index": Plant("tools-stream", r'"tool_calls":null', CALL, "tools-stream", "tool-index"),
    "tool-several": Plant(
        "tools-several-stream", r'"tool_calls":null', CALL, "tools-several", "tool-index"
    ),
    "tool-kind": Plant(
        "tools", r'"tool_calls":null', CALL.replace("function\",", "custom\","), "tools",
        "bad-shape",
    ),
    "metrics": Plant("metrics", r"\nsglang:token_usage", "\nsglang:x", "metrics", "bad-metrics"),
    "loaded": Plant("model_info", r'"Gemma4', '"Llama4', "model", "wrong-model"),
    "listed": Plant("v1-models", r'"data":\[.*\]', '"data":[]', "model", "wrong-model"),
}  # fmt: skip


def planted(plant: Plant) -> dict[str, Recording]:
    """The recording with the change in it, which may not be lost."""
    real = recordings("E2B")[plant.recording]
    body = re.sub(plant.pattern, plant.put, real.body, count=1)
    assert body != real.body
    return {plant.recording: real._replace(body=body)}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_planted_change_is_found(plant: Plant, tmp_path: Path) -> None:
    found = []
    for changed in (planted(plant), {}):
        with replaying("E2B", changed) as url:
            (result,) = verified(url, tmp_path, plant.check, random_weights=plant.random_weights)
        found.append(result.fault)
    assert found[0] == plant.fault
    assert found[1] != plant.fault


def test_every_recorded_request_finds_its_own_answer(
    asked: dict[str, dict[str, Any]],
) -> None:
    own = {name: kind(request) for name, request in asked.items() if name != "too-long"}
    assert own == {name: "chat" if name == "chat-repeated" else name for name in own}
