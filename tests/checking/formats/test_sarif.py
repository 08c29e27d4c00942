from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, FormatChecker, ValidationError

from gemma4ctl.checking.formats import render
from gemma4ctl.checking.launch import Place
from gemma4ctl.checking.report import Checked, Report
from tests.checking.formats.reports import FIXABLE, REPORT, TEXT, finding

SCHEMA = Path(__file__).parent / "data" / "sarif-2.1.0-rtm.5.json"


@pytest.fixture(scope="module")
def validator() -> Draft4Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return Draft4Validator(schema, format_checker=FormatChecker())


def log(report: Report) -> Any:
    return json.loads(render(report, "sarif"))


def run(report: Report) -> Any:
    return log(report)["runs"][0]


def test_it_validates_against_the_published_schema(validator: Draft4Validator) -> None:
    for report in (REPORT, Report(())):
        validator.validate(log(report))
    broken = log(REPORT)
    broken["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(ValidationError):
        validator.validate(broken)


def test_columns_count_utf16_units() -> None:
    found = run(REPORT)
    assert found["columnKind"] == "utf16CodeUnits"
    region = found["results"][2]["locations"][0]["physicalLocation"]["region"]
    line = TEXT.split("\r\n")[1]
    start = len(line[: line.index("--tpp")].encode("utf-16-le")) // 2 + 1
    assert start == line.index("--tpp") + 2  # one character before it takes two units
    assert region == {"startLine": 2, "startColumn": start, "endColumn": start + 5}


def test_a_fix_replaces_exactly_its_word() -> None:
    (fix,) = run(REPORT)["results"][2]["fixes"]
    (change,) = fix["artifactChanges"]
    (replacement,) = change["replacements"]
    region = replacement["deletedRegion"]
    assert region["startLine"] == region["endLine"] == 2
    line = TEXT.split("\r\n")[1].encode("utf-16-le")
    deleted = line[(region["startColumn"] - 1) * 2 : (region["endColumn"] - 1) * 2]
    assert deleted.decode("utf-16-le") == "--tpp"
    assert replacement["insertedContent"] == {"text": "--tp-size"}
    assert change["artifactLocation"]["uri"] == "a/run.sh"


def test_rules_have_help_and_results_point_at_them() -> None:
    found = run(REPORT)
    rules = found["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["abbreviated-flag", "remote-code", "unknown-flag"]
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    for result in found["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_a_file_that_could_not_be_checked_is_a_notification() -> None:
    (invocation,) = run(REPORT)["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 2)
    (notification,) = invocation["toolExecutionNotifications"]
    (location,) = notification["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "b%2Cc%3A%25.sh"
    (invocation,) = run(Report(()))["invocations"]
    assert invocation == {"executionSuccessful": True, "exitCode": 0}


def test_absolute_paths_are_file_uris_and_any_bytes_are_quoted() -> None:
    places = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]
        for result in run(
            Report((Checked("x", findings=(finding("/a b/é\udcff.sh"), finding("./c/../d.sh"))),))
        )["results"]
    ]
    assert places == [
        {"uri": "file:///a%20b/%C3%A9%FF.sh"},
        {"uri": "d.sh", "uriBaseId": "SRCROOT"},
    ]


def fingerprints(text: str, *lines: int) -> list[str]:
    found = tuple(FIXABLE._replace(fix=None, place=Place(line, 37)) for line in lines)
    results = run(Report((Checked("a/run.sh", text, 1, found),)))["results"]
    return [value for one in results for value in one["partialFingerprints"].values()]


def test_fingerprints_stay_when_lines_move_and_tell_repeats_apart() -> None:
    (before,) = fingerprints(TEXT, 2)
    assert fingerprints(f"\r\n\r\n{TEXT}", 4) == [before]
    twice = fingerprints(TEXT + TEXT.split("\r\n")[1], 2, 3)
    assert twice[0] == before != twice[1]
    assert fingerprints(TEXT.replace("--tpp", "--mem"), 2) != [before]


def test_a_place_beyond_the_text_is_no_reason_to_fail() -> None:
    assert fingerprints("", 7)
