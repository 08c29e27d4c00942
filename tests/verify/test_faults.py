"""Every way in which the test server misbehaves is found, and called by its name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.verify.checks import CHECKS
from gemma4ctl.verify.faults import FAULTS
from gemma4ctl.verify.report import Report
from gemma4ctl.verify.run import Options, run
from tests.endpoint.server import fixed
from tests.endpoint.server import serving as answering
from tests.verify.server import PAUSE_S, Sglang, serving
from tests.waiting import PATIENCE_S, with_a_limit

TIMED = {
    "health-hangs",
    "hangs",
    "drips",
    "slow-first-token",
    "stalls",
    "endless-header",
    "endless-continue",
    "endless-event",
    "endless-chunk-size",
    "endless-slow-refusal",
    "endless-empty-gzip",
}  # misbehave until the time is up


class Case(NamedTuple):
    """A misbehaviour, the check that finds it, and what it is called."""

    misbehaviour: str
    check: str
    fault: str
    said: str  # a part of the message, with the limit and half of it in seconds


CASES = [
    Case("unhealthy", "health", "unavailable", "HTTP 503"),
    Case("health-hangs", "health", "no-answer", "/health: no complete answer within {all} s"),
    Case("health-hangs-up", "health", "unreachable", "/health: Remote end closed"),
    Case("wrong-model", "chat", "wrong-model", "answered by meta-llama/Llama-3-8B"),
    Case("http-429", "chat", "rate-limited", "HTTP 429: as told"),
    Case("http-500", "chat", "server-error", "HTTP 500: as told"),
    Case("http-503", "stream", "unavailable", "HTTP 503: as told"),
    Case("http-404", "stream", "request-refused", "HTTP 404: as told"),
    Case("http-307", "chat", "request-refused", "HTTP 307"),
    Case("hangs", "chat", "no-answer", "no answer within {all} s"),
    Case("drips", "chat", "no-answer", "not complete after {all} s"),
    Case("endless-header", "chat", "no-answer", "headers are not complete after {all} s"),
    Case("endless-headers", "chat", "unreachable", "no answer: "),
    Case("endless-continue", "chat", "no-answer", "headers are not complete after {all} s"),
    Case("endless-answer", "chat", "huge-event", "bytes and no end"),
    Case("endless-event", "stream", "no-answer", "not complete after {all} s"),
    Case("endless-chunk-size", "chat", "no-answer", "not complete after {all} s"),
    Case("endless-refusal", "chat", "huge-event", "bytes and no end"),
    Case("endless-slow-refusal", "chat", "no-answer", "not complete after {all} s"),
    Case("endless-empty-gzip", "chat", "no-answer", "not complete after {all} s"),
    Case("hangs-up", "chat", "unreachable", "no answer"),
    Case("cut-short", "chat", "disconnected", "closed after 50 bytes"),
    Case("wrong-content-type", "chat", "bad-content-type", "'text/html' instead of application/"),
    Case("wrong-content-type", "stream", "bad-content-type", "'text/plain' instead of text/event"),
    Case("bad-utf8", "chat", "bad-utf8", "ff fe"),
    Case("bad-utf8", "stream", "bad-utf8", "ff fe"),
    Case("not-json", "chat", "bad-json", "the answer is not JSON"),
    Case("broken-event", "stream", "bad-json", "an event is not JSON"),
    Case("json-list", "chat", "bad-shape", "no JSON object"),
    Case("no-finish-reason", "chat", "bad-shape", "choices.0.finish_reason"),
    Case("two-choices", "chat", "bad-shape", "2 choices"),
    Case("no-delta", "stream", "bad-shape", "choices.0.delta"),
    Case("second-choice", "stream", "bad-shape", "a second choice"),
    Case("changing-id", "stream", "bad-shape", "different ids"),
    Case("not-an-event", "stream", "bad-event-stream", "Internal Server Error"),
    Case("stream-error", "stream", "server-error", "out of memory"),
    Case("huge-event", "stream", "huge-event", "bytes and no end"),
    Case("slow-first-token", "stream", "slow-first-token", "no token within {half} s"),
    Case("stalls", "stream", "stalled", "silent for {half} s after 2 events"),
    Case("disconnects", "stream", "disconnected", "closed after"),
    Case("cut-without-finish", "stream", "truncated-stream", "without a finish reason"),
    Case("no-finish-event", "stream", "truncated-stream", "without a finish reason"),
    Case("no-done", "stream", "truncated-stream", "without [DONE]"),
    Case("wrong-usage", "chat", "wrong-usage", "20 prompt + 1 completion = 26"),
    Case("too-many-tokens", "chat", "wrong-usage", "at most 32 were asked for"),
    Case("stream-counts-more", "stream", "wrong-usage", "has 24 tokens, streamed 25"),
    Case("no-stream-usage", "stream", "wrong-usage", "has no usage"),
    Case("never-ends", "chat", "never-ends", "no end within"),
    Case("empty", "chat", "wrong-answer", "the answer is ''"),
    Case("turn-marker", "chat", "markers-leaked", "<turn|>"),
    Case("image-dropped", "image", "image-dropped", "0 tokens more"),
    Case("second-image-dropped", "images", "image-dropped", "adds 258 tokens to a prompt, two add"),
    Case("audio-dropped", "audio", "audio-dropped", "0 tokens more"),
    Case("thinking-in-content", "thinking", "thinking-leaked", "<|channel>"),
    Case("thinking-in-content", "thinking-stream", "thinking-leaked", "<|channel>"),
    Case("thinking-label-in-content", "thinking", "thinking-leaked", "thought 17 times"),
    Case("thinking-ignored", "thinking", "thinking-missing", "no reasoning_content"),
    Case("thinking-always", "thinking-stream", "thinking-unasked", "11 characters of thoughts"),
    Case("tools-unparsed", "tools", "tool-missing", "<|tool_call>"),
    Case("tool-json", "tools", "tool-json", "Invalid JSON"),
    Case("tool-json", "tools-stream", "tool-json", "Invalid JSON"),
    Case("tool-arguments", "tools", "tool-arguments", "celsius"),
    Case("tool-unknown", "tools", "tool-arguments", "'rm', which is no tool"),
    Case("no-tool-id", "tools", "bad-shape", "has no id"),
    Case("tool-index", "tools-several", "tool-index", "streamed with index 1: clients"),
    Case("tool-index-lost", "tools-stream", "tool-index", "arguments for index 1"),
    Case("same-tool-id", "tools-several", "tool-index", "the same id"),
    Case("one-call-only", "tools-several", "tool-missing", "1 calls where two are due"),
    Case("schema-ignored", "json-schema", "schema-ignored", "Paris is the capital"),
    Case("answers-mixed", "concurrent", "answers-mixed", "asked for river, answered 'apple'"),
    Case("cache-missed", "prefix-cache", "cache-missed", "0 of 2,013 tokens"),
    Case("context-short", "context", "context-short", "longer than the model's context"),
    Case("breaks-near-the-limit", "context", "server-error", "illegal memory access"),
    Case("breaks-beyond-the-limit", "context", "server-error", "illegal memory access"),
    Case("context-cut", "context", "context-short", "counts 2,500"),
    Case("context-unchecked", "context", "context-unchecked", "beyond 4,090 tokens was answered"),
    Case("words-uncounted", "context", "wrong-usage", "100 words are"),
    Case("no-metrics", "metrics", "no-metrics", "--enable-metrics"),
    Case("html-metrics", "metrics", "bad-metrics", "not in Prometheus' format"),
    Case("other-metrics", "metrics", "bad-metrics", "no sglang:num_running_reqs"),
]  # fmt: skip


def verified(
    sglang: Sglang, folder: Path, *only: str, timeout_s: float = PATIENCE_S, **more: object
) -> Report:
    """A verification of a server of its own."""
    options = Options(only=only, timeout_s=timeout_s, folder=folder, **more)  # type: ignore[arg-type]
    with serving(sglang) as url:
        return run(Endpoint(url, sglang.key), options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.misbehaviour}-{case.check}")
def test_the_fault_is_named(case: Case, tmp_path: Path) -> None:
    def attempt(timeout_s: float) -> None:
        sglang = Sglang(frozenset({case.misbehaviour}))
        report = verified(sglang, tmp_path, case.check, timeout_s=timeout_s)
        (result,) = report.results
        assert (result.status, result.fault) == ("fail", case.fault), result.detail
        assert case.said.format(all=f"{timeout_s:g}", half=f"{timeout_s / 2:g}") in result.detail
        assert result.curl and result.curl.startswith("curl -sS ")
        assert report.seconds < PAUSE_S

    if case.misbehaviour in TIMED:
        with_a_limit(attempt)
    else:
        attempt(PATIENCE_S)


def test_a_good_server_passes_everything(tmp_path: Path) -> None:
    report = verified(Sglang(), tmp_path)
    assert [(r.check, r.fault, r.detail) for r in report.results if r.status != "pass"] == []
    assert [result.check for result in report.results] == [check.name for check in CHECKS]
    assert not any(result.unjudged for result in report.results)
    assert report.passed


def test_every_fault_has_a_case() -> None:
    elsewhere = {"key-refused", "drafts-refused", "drafts-unmeasured"}  # below
    assert {case.fault for case in CASES} | elsewhere == set(FAULTS)


def test_every_check_finds_something() -> None:
    elsewhere = {"model", "mtp"}  # below
    assert {case.check for case in CASES} | elsewhere == {check.name for check in CHECKS}


def test_a_known_fault_of_sglang_comes_with_what_to_do(tmp_path: Path) -> None:
    faults = frozenset({"tool-index"})
    (known,) = verified(Sglang(faults), tmp_path, "tools-several").results
    assert "issue 25073" in known.detail and "--skip tools-several" in known.detail
    (other,) = verified(Sglang(faults | {"not-sglang"}), tmp_path, "tools-several").results
    assert other.fault == "tool-index" and "SGLang" not in other.detail


def test_a_wrong_key_is_named_once_and_nothing_else_is_tried(tmp_path: Path) -> None:
    with serving(Sglang(key="right")) as url:
        report = run(Endpoint(url, "wrong"), Options(timeout_s=PATIENCE_S, folder=tmp_path))
    found = {result.check: result for result in report.results}
    assert found["health"].status == "pass"
    assert found["model"].fault == "key-refused"
    assert found["chat"].status == "skip"
    assert found["chat"].detail == "not tried: model found key-refused"
    assert report.count("fail") == 1


def test_pages_that_are_no_api_are_named_by_their_status(tmp_path: Path) -> None:
    pages = {
        b"HTTP 500": ("server-error", 500),
        b"HTTP 503": ("unavailable", 503),
        b"HTTP 403": ("key-refused", 403),
        b"HTTP 404": ("request-refused", 404),
    }
    for body, (fault, status) in pages.items():
        with answering({"/v1/models": fixed(body, status=status)}) as url:
            report = run(
                Endpoint(url), Options(only=("model",), timeout_s=PATIENCE_S, folder=tmp_path)
            )
        assert (report.results[0].fault, report.results[0].detail) == (
            fault,
            f"/v1/models: {body.decode()}",
        )


def test_a_server_that_hangs_is_not_asked_again(tmp_path: Path) -> None:
    def attempt(timeout_s: float) -> None:
        report = verified(Sglang(frozenset({"hangs"})), tmp_path, timeout_s=timeout_s)
        assert [result.fault for result in report.results if result.fault] == ["no-answer"]

    with_a_limit(attempt)


@pytest.mark.parametrize(
    ("asked", "architecture", "said"),
    [
        ("31B", "Gemma4ForConditionalGeneration", "asked for Gemma 4 31B, the server has"),
        ("my-model", "Gemma4ForConditionalGeneration", "the server lists google/gemma-4-E2B-it"),
        (None, "LlamaForCausalLM", "has loaded a LlamaForCausalLM"),
    ],
)  # fmt: skip
def test_another_model_is_named(
    asked: str | None, architecture: str, said: str, tmp_path: Path
) -> None:
    sglang = Sglang(architecture=architecture)
    (result,) = verified(sglang, tmp_path, "model", model=asked).results
    assert result.fault == "wrong-model"
    assert said in result.detail


@pytest.mark.parametrize(
    ("length", "faults", "fault", "said"),
    [
        (1.01, frozenset(), "drafts-refused", "1.01 tokens per verification"),
        (9.5, frozenset(), "drafts-unmeasured", "9.50 cannot be"),
        (None, frozenset({"no-metrics"}), "drafts-unmeasured", "neither /server_info nor"),
    ],
)
def test_drafts_that_help_nobody_are_named(
    length: float | None, faults: frozenset[str], fault: str, said: str, tmp_path: Path
) -> None:
    states = {"internal_states": [{"avg_spec_accept_length": length}]}
    (result,) = verified(Sglang(faults, server_args=states), tmp_path, "mtp").results
    assert result.fault == fault
    assert said in result.detail


def test_the_acceptance_length_may_come_from_the_metrics(tmp_path: Path) -> None:
    (result,) = verified(Sglang(server_args={"internal_states": []}), tmp_path, "mtp").results
    assert result.figures == {"accept_length": 3.5}
