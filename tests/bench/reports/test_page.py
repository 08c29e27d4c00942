from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import pytest

from gemma4ctl.bench.reports import page
from gemma4ctl.bench.reports.reference import beside_published
from tests.bench.reports.samples import plan, result, scenario, served

VOID = {"meta", "br", "link", "img"}


class Reader(HTMLParser):
    """Checks that every element is closed; collects ids, texts and what loads something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("src", "href") and not (value or "").startswith("#"):
                self.loads.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def made(measured) -> str:
    return page.html(measured, beside_published(measured))


@pytest.fixture(scope="module")
def whole() -> str:
    scenarios = [scenario("text-c1", (1, 1.02, 0.98)), scenario("text-c100"), scenario("image-c1")]
    return made(result(*scenarios, plan=plan(), problems=("/server_info: HTTP 404",)))


def test_the_page_is_whole_and_alone(whole: str) -> None:
    reader = read(whole)
    assert reader.loads == []
    assert "script" not in reader.tags
    assert len(set(reader.ids)) == len(reader.ids) > 0
    assert whole.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.MARKER in whole[:2048]
    assert not re.findall(r"url\((?!#)", whole)


def test_it_says_what_was_measured_on_what(whole: str) -> None:
    texts = read(whole).texts
    for text in (
        "Gemma 4 E2B on 1 x H200",
        "2026-11-20 10:00 UTC",
        "NVIDIA H200",
        "580.95.05",
        "0.5.16",
        "1f9a52c0, checkpoint bf16",
        "gemma4ctl 0.2.0",
        "/server_info: HTTP 404",
        "SGLANG_ENABLE_SPEC_V2=1 sglang serve --model-path google/gemma-4-E2B-it --port 30000",
        "gemma4ctl bench --repeat 3 -o e2b.json",
    ):
        assert text in texts, text


def test_figures_spread_and_published(whole: str) -> None:
    texts = read(whole).texts
    assert "240.0" in texts and "± 2.0%" in texts
    assert "3.99" in texts and "0.992" in texts
    assert "0 of 30" in texts
    assert "published in cookbook-2026-04, SGLang development" in texts
    assert "another load: random-8192-1024; with MTP" in texts


def test_tables_can_be_heard(whole: str) -> None:
    assert whole.count("<table>") == whole.count("<caption>") == 3
    assert not re.findall(r"<th(?![^>]*scope=)[ >]", whole)
    assert whole.count('tabindex="0"') == whole.count('class="scroll" role="region" aria-label=')
    label = "tokens a second at 4.02 ms a token with 1 at a time"
    assert label in "".join(re.findall(r'<figure role="img" aria-label="([^"]*)"', whole))
    assert whole.count("<svg viewBox") == whole.count('aria-hidden="true"') == 2


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No matplotlib: a page is made in no time."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def test_what_others_wrote_is_text(undrawn: None) -> None:
    evil = "<script>alert(1)</script>"
    measured = result(
        scenario("text-c1"),
        served=served(model=evil, model_path=evil, server_args={"x": "</pre>" + evil}),
        problems=(evil,),
    )
    text = made(measured)
    read(text)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_failures_and_the_client_are_shown(undrawn: None) -> None:
    own = scenario("text-c1")
    run = own.runs[0]
    failed = run.summary.model_copy(update={"failed": {"stalled": 2}})
    own = own.model_copy(
        update={
            "runs": (run.model_copy(update={"summary": failed}),),
            "client": "sglang",
            "notes": ("random token ids",),
        }
    )
    texts = read(made(result(own, complete=False))).texts
    assert "2 of 12" in texts
    assert texts[texts.index("Client") + 1] == "SGLang"
    assert "random token ids" in texts
    assert "The measurement was stopped before its end." in texts


def test_little_is_known(undrawn: None) -> None:
    bare = served(variant=None, model_path=None, tp=None, mtp=None, release=None, server_args={})
    texts = read(made(result(scenario("text-c1"), served=bare, hardware=None))).texts
    assert texts.count("not known") == 4
    assert "Nothing comparable is published." in texts
    assert "Arguments of the server" not in texts


def test_nothing_was_measured() -> None:
    texts = read(made(result(scenario("text-c1", ())))).texts
    assert "Nothing was measured to the end." in texts
    assert "Without drawings: there is nothing to draw." in texts


def test_without_matplotlib_there_are_tables(undrawn: None) -> None:
    text = made(result())
    read(text)
    assert "<svg" not in text
    assert "Without drawings: drawing needs the Python package matplotlib." in text
