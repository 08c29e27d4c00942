"""Which checks run, what is skipped, and what random weights leave open."""

from __future__ import annotations

import ast
import threading
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.presence import EndpointUnreachableError
from gemma4ctl.errors import UsageError
from gemma4ctl.verify import checks, session
from gemma4ctl.verify.checks import CHECKS
from gemma4ctl.verify.content import CONTENT
from gemma4ctl.verify.report import Report, Result
from gemma4ctl.verify.run import (
    Options,
    Verification,
    choose,
    names,
    run,
)
from tests.verify.server import Sglang, serving
from tests.waiting import PATIENCE_S

# The checks that judge what an answer says, as well as its form.
JUDGING = {
    "chat", "stream", "image", "images", "audio", "thinking", "thinking-stream",
    "tools", "tools-stream", "tools-several", "json-schema", "concurrent", "mtp",
}  # fmt: skip


def verified(sglang: Sglang, folder: Path, *only: str, **more: Any) -> Report:
    options = Options(only=only, timeout_s=PATIENCE_S, folder=folder, **more)
    with serving(sglang) as url:
        return run(Endpoint(url, sglang.key), options)


def skipped(report: Report) -> dict[str, str]:
    return {r.check: r.detail for r in report.results if r.status == "skip"}


def test_random_weights_pass_and_say_what_is_not_judged(tmp_path: Path) -> None:
    report = verified(Sglang(random_weights=True), tmp_path)
    assert report.random_weights
    assert {part for r in report.results for part in r.unjudged} == set(CONTENT)
    assert [(r.check, r.fault, r.detail) for r in report.results if r.status != "pass"] == []
    assert {r.check for r in report.results if r.unjudged} == JUDGING


def test_no_check_leaves_open_what_is_not_listed() -> None:
    folder = Path(checks.__file__).parent
    sources = [*folder.glob("*.py"), Path(session.__file__)]
    calls = [
        node
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("judge", "append")
    ]
    parts = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert parts == set(CONTENT)


@pytest.mark.parametrize("misbehaviour", ["wrong-usage", "no-done", "image-dropped", "http-500"])
def test_random_weights_excuse_no_protocol(misbehaviour: str, tmp_path: Path) -> None:
    sglang = Sglang(frozenset({misbehaviour}), random_weights=True)
    assert not verified(sglang, tmp_path, "chat", "stream", "image").passed


def test_the_user_may_say_that_weights_are_random(tmp_path: Path) -> None:
    sglang = Sglang(frozenset({"empty"}))
    assert verified(sglang, tmp_path, "chat", random_weights=True).passed
    assert not verified(sglang, tmp_path, "chat").passed


def test_what_the_server_does_not_have_is_skipped_with_the_reason(tmp_path: Path) -> None:
    off = {
        "reasoning_parser": None,
        "tool_call_parser": None,
        "grammar_backend": "none",
        "enable_metrics": False,
        "enable_cache_report": False,
        "speculative_algorithm": None,
    }
    report = verified(Sglang(server_args=off), tmp_path)
    assert skipped(report) == {
        "thinking": "the server was started without --reasoning-parser",
        "thinking-stream": "the server was started without --reasoning-parser",
        "tools": "the server was started without --tool-call-parser",
        "tools-stream": "the server was started without --tool-call-parser",
        "tools-several": "the server was started without --tool-call-parser",
        "json-schema": "the server was started with --grammar-backend none",
        "prefix-cache": "cached tokens are told with --enable-cache-report or --enable-metrics",
        "metrics": "the server was started without --enable-metrics",
        "mtp": "the server drafts no tokens (MTP is off)",
    }
    assert report.passed


@pytest.mark.parametrize(
    ("misbehaviour", "check", "reason"),
    [
        ("no-health", "health", "the server has no /health, which is SGLang's own"),
        ("no-limit", "context", "the server does not tell its context length"),
        ("text-only", "image", "the server takes no image input"),
    ],
)
def test_what_the_server_cannot_do_is_skipped(
    misbehaviour: str, check: str, reason: str, tmp_path: Path
) -> None:
    assert skipped(verified(Sglang(frozenset({misbehaviour})), tmp_path, check)) == {check: reason}


def test_a_pool_smaller_than_the_context_is_said(tmp_path: Path) -> None:
    sglang = Sglang(server_args={"max_total_num_tokens": 1000})
    (small,) = verified(sglang, tmp_path, "model").results
    assert small.detail.endswith("4,096 tokens of context, of which the KV pool holds 1,000")
    (large,) = verified(Sglang(), tmp_path, "model").results
    assert large.detail.endswith("4,096 tokens of context")


def test_a_variant_without_audio_is_not_asked_for_it(tmp_path: Path) -> None:
    report = verified(Sglang(model="google/gemma-4-31B-it"), tmp_path, "audio", "image")
    assert skipped(report) == {"audio": "Gemma 4 31B takes no audio input"}


NO_TOWER = "the variant is not known, and audio ends one without an audio tower: --model names it"


@pytest.mark.parametrize(
    ("model", "named", "reason"),
    [
        ("my-gemma", None, NO_TOWER),
        ("my-gemma", "my-gemma", NO_TOWER),
        ("my-gemma", "31B", "Gemma 4 31B takes no audio input"),
        ("google/gemma-4-26B-A4B-it", None, "Gemma 4 26B-A4B takes no audio input"),
    ],
)
def test_no_audio_is_sent_where_it_may_end_the_server(
    model: str, named: str | None, reason: str, tmp_path: Path
) -> None:
    sglang = Sglang(model=model)
    assert skipped(verified(sglang, tmp_path, "audio", model=named)) == {"audio": reason}
    assert sglang.requests == []


def test_a_variant_that_the_user_names_is_asked_for_audio(tmp_path: Path) -> None:
    assert verified(Sglang(model="my-gemma"), tmp_path, "audio", model="E2B").passed


def test_a_kind_that_the_server_was_told_to_refuse_is_not_sent(tmp_path: Path) -> None:
    sglang = Sglang(server_args={"limit_mm_data_per_request": {"audio": 0, "image": 1}})
    report = verified(sglang, tmp_path, "audio", "image")
    assert skipped(report) == {
        "audio": "the server refuses audio input: --limit-mm-data-per-request"
    }


def test_a_server_of_another_kind_is_checked_as_far_as_it_goes(tmp_path: Path) -> None:
    sglang = Sglang(frozenset({"not-sglang"}), model="my-gemma")
    report = verified(sglang, tmp_path, "model", "image", "audio", "tools", "mtp", "context")
    assert skipped(report) == {
        "audio": NO_TOWER,
        "mtp": "the server drafts no tokens (MTP is off)",
    }
    assert report.passed
    assert (report.variant, report.release) == (None, None)


def test_the_cache_may_be_seen_in_the_metrics(tmp_path: Path) -> None:
    sglang = Sglang(server_args={"enable_cache_report": False})
    (result,) = verified(sglang, tmp_path, "prefix-cache").results
    assert result.status == "pass"
    assert result.detail == "2,012 of 2,013 tokens from the cache"


def test_a_server_that_cuts_prompts_is_not_asked_to_refuse_them(tmp_path: Path) -> None:
    sglang = Sglang(frozenset({"context-unchecked"}), server_args={"allow_auto_truncate": True})
    assert verified(sglang, tmp_path, "context").passed


def test_without_a_radix_cache_there_is_nothing_to_hit(tmp_path: Path) -> None:
    report = verified(Sglang(server_args={"disable_radix_cache": True}), tmp_path, "prefix-cache")
    assert skipped(report) == {"prefix-cache": "the server was started with --disable-radix-cache"}


@pytest.mark.parametrize("model", [None, "E2B", "gemma-4-e2b", "google/gemma-4-E2B-it"])
def test_a_model_is_named_by_its_id_or_its_variant(model: str | None, tmp_path: Path) -> None:
    report = verified(Sglang(), tmp_path, "model", "chat", model=model)
    assert report.passed
    assert report.model == "google/gemma-4-E2B-it"
    assert report.variant == "E2B"


def test_checks_run_in_their_order_whatever_the_order_asked() -> None:
    chosen = choose(Options(only=("audio", "chat", "mtp"), skip=("mtp",)))
    assert [check.name for check in chosen] == ["chat", "audio"]
    assert [check.name for check in choose(Options())] == [check.name for check in CHECKS]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(only=("chatt",)), "there is no check 'chatt'"),
        (Options(skip=("x",)), "there is no check 'x'"),
        (Options(only=("chat",), skip=("chat",)), "no check is left"),
    ],
)
def test_bad_names_of_checks_are_refused(options: Options, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose(options)


def test_names_may_be_repeated_or_listed() -> None:
    assert names(["chat, image", "audio"]) == ("chat", "image", "audio")


def test_nothing_there_is_an_error_of_its_own(port: int) -> None:
    with pytest.raises(EndpointUnreachableError, match="Connection refused") as raised:
        run(Endpoint(f"http://127.0.0.1:{port}"), Options(timeout_s=PATIENCE_S))
    assert raised.value.exit_code == 1


def test_results_come_as_they_are_made(tmp_path: Path) -> None:
    seen: list[Result] = []
    with serving(Sglang()) as url:
        options = Options(only=("health", "chat"), timeout_s=PATIENCE_S, folder=tmp_path)
        report = run(Endpoint(url), options, on_result=seen.append)
    assert tuple(seen) == report.results


def test_a_stopped_run_begins_no_further_check() -> None:
    stop = threading.Event()
    with serving(Sglang()) as url:
        report = run(Endpoint(url), Options(timeout_s=PATIENCE_S), lambda _: stop.set(), stop)
    assert [result.check for result in report.results] == ["health"]


def test_a_verification_beside_a_server_says_its_report(tmp_path: Path) -> None:
    said: list[str] = []
    with serving(Sglang(key="k-1")) as url:
        options = Options(only=("chat",), timeout_s=PATIENCE_S, folder=tmp_path)
        verification = Verification(Endpoint(url, "k-1"), options, said.append)
        verification.begin()
        verification.wait(PATIENCE_S)
    document = verification.document()
    assert document is not None and document["summary"]["passed"] == 1
    assert said[0].endswith("1 passed, 0 failed, 0 skipped, in " + said[0].rsplit(" in ")[1])


def test_a_verification_that_ends_early_says_nothing() -> None:
    said: list[str] = []
    with serving(Sglang()) as url:
        verification = Verification(Endpoint(url), Options(timeout_s=PATIENCE_S), said.append)
        verification.end()
        verification.begin()
        verification.wait(PATIENCE_S)
    assert verification.document() is None
    assert said == []


def test_a_verification_that_cannot_be_made_says_why(port: int) -> None:
    said: list[str] = []
    gone = Endpoint(f"http://127.0.0.1:{port}")
    verification = Verification(gone, Options(timeout_s=PATIENCE_S), said.append)
    verification.begin()
    verification.wait(PATIENCE_S)
    assert verification.report is None
    assert "could not be verified: nothing answers" in said[0]
