from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from gemma4ctl import __version__
from gemma4ctl.checking.formats import render
from gemma4ctl.checking.formats.schema import SCHEMA_FILE, schema_text
from gemma4ctl.checking.report import Report
from tests.checking.formats.reports import REPORT, START


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(render(REPORT, "json"))


def test_it_is_what_the_schema_says(document: Any) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)
    validator.validate(document)
    validator.validate(json.loads(render(Report(()), "json")))
    with pytest.raises(ValidationError):
        validator.validate({**document, "findings": [{"code": "unknown-flag"}]})


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()


def test_everything_is_in_it(document: Any) -> None:
    assert (document["schema_version"], document["gemma4ctl_version"]) == (1, __version__)
    assert [file["path"] for file in document["files"]] == ["a/run.sh", "clean.md", "b,c:%.sh"]
    assert document["files"][2]["error"].startswith("Cannot read")
    assert document["findings"][2] == {
        "code": "unknown-flag",
        "level": "error",
        "path": "a/run.sh",
        "line": 2,
        "column": 37,
        "end_column": 42,
        "message": "SGLang 0.5.16 has no flag --tpp. Did you mean --tp?",
        "remedy": "write --tp-size",
        "release": "0.5.16",
        "fix": {"start": START, "end": START + 5, "text": "--tp-size"},
    }
    assert document["summary"] == {
        "files": 3,
        "launches": 3,
        "errors": 1,
        "warnings": 1,
        "notes": 1,
        "fixed": 0,
    }


def test_it_is_ascii_with_a_path_of_any_bytes() -> None:

    from gemma4ctl.checking.report import Checked

    text = render(Report((Checked("é\udcff", launches=1),)), "json")
    text.encode("ascii")
    assert json.loads(text)["files"][0]["path"] == "é\udcff"
