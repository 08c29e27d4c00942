"""The report for people, programs and CI."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from gemma4ctl.verify import document
from gemma4ctl.verify.document import verify_document
from gemma4ctl.verify.junit import junit_text
from gemma4ctl.verify.report import Report, Result
from gemma4ctl.verify.text import closing_lines, plain_lines, result_lines

LONG = "a long sentence that goes on for more than a line of a narrow terminal " * 2
SCHEMA_FILE = Path(document.__file__).with_name("verify.schema.json")
RESULTS = (
    Result(
        "chat",
        "a question",
        "pass",
        "'Paris', 20 + 1 tokens",
        0.25,
        figures={"seconds": 0.2000000000001},
    ),
    Result("stream", "a stream", "pass", LONG, 1.0, unjudged=("answer", "ends")),
    Result("tools", "a tool", "fail", "it's <not> JSON\x00", 2.0, "tool-json", curl="curl -d '{}'"),
    Result("audio", "a sound", "skip", "Gemma 4 31B takes no audio input", 0.0),
)
REPORT = Report(
    url="http://127.0.0.1:30000",
    date="2026-11-22T06:00:00+00:00",
    model="google/gemma-4-31B-it",
    variant="31B",
    release=None,
    random_weights=True,
    results=RESULTS,
    seconds=3.25,
)


def test_a_report_is_counted() -> None:
    assert REPORT.summary == "2 passed, 1 failed, 1 skipped, in 3.2 s"
    assert not REPORT.passed


def test_the_text_at_80_columns() -> None:
    assert plain_lines(REPORT, 80) == [
        "pass  chat               0.2 s  'Paris', 20 + 1 tokens",
        "pass  stream             1.0 s  a long sentence that goes on for more than a",
        "                                line of a narrow terminal a long sentence that",
        "                                goes on for more than a line of a narrow",
        "                                terminal ; content not judged",
        "fail  tools              2.0 s  tool-json: it's <not> JSON\\x00",
        "      curl -d '{}'",
        "skip  audio                     Gemma 4 31B takes no audio input",
        "verified http://127.0.0.1:30000: 2 passed, 1 failed, 1 skipped, in 3.2 s",
        "random weights leave open: answer, ends",
    ]


@pytest.mark.parametrize(("width", "longest"), [(20, 60), (80, 80), (120, 120), (500, 120)])
def test_no_line_but_a_command_is_wider_than_the_terminal(width: int, longest: int) -> None:
    lines = [line.text for result in RESULTS for line in result_lines(result, width)]
    assert max(map(len, lines)) <= longest


def test_the_status_alone_is_coloured() -> None:
    first = next(result_lines(RESULTS[2], 80))
    assert (first.style, first.styled) == ("bold red", 4)


def test_without_random_weights_nothing_is_left_open() -> None:
    report = Report("u", "d", "m", None, None, False, RESULTS[:1], 1.0)
    assert closing_lines(report) == ["verified u: 1 passed, 0 failed, 0 skipped, in 1.0 s"]


def test_the_document_follows_its_schema() -> None:
    found = json.loads(json.dumps(verify_document(REPORT).model_dump(mode="json")))
    jsonschema.validate(found, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert found["schema_version"] == 1
    assert found["summary"] == {"passed": 2, "failed": 1, "skipped": 1, "seconds": 3.25}
    assert found["checks"][0]["figures"] == {"seconds": 0.2}
    assert found["checks"][2]["fault"] == "tool-json"
    assert found["checks"][2]["curl"] == "curl -d '{}'"
    assert found["checks"][1]["unjudged"] == ["answer", "ends"]


def test_junit_says_the_same_and_can_be_read() -> None:
    root = ElementTree.fromstring(junit_text(REPORT))
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")
    assert suite.get("timestamp") == "2026-11-22T06:00:00"
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    failure = cases["tools"].find("failure")
    assert failure is not None
    assert failure.get("type") == "tool-json"
    assert failure.get("message") == "it's <not> JSON\ufffd"
    assert failure.text == "curl -d '{}'"
    skipped = cases["audio"].find("skipped")
    assert skipped is not None and skipped.get("message") == RESULTS[3].detail
    assert cases["chat"].findtext("system-out") == RESULTS[0].detail
    values = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert values["variant"] == "31B" and values["release"] == ""
