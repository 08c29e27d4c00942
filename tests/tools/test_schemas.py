"""The committed schemas are those of the models, and reach whoever installs the package."""

from __future__ import annotations

import json

import jsonschema
import pytest

from gemma4ctl.bench.document import content
from gemma4ctl.bench.reports.compare import compare
from gemma4ctl.bench.reports.reference import beside_published
from tests.bench.results import result, scenario
from tools.schemas import PACKAGE, SCHEMAS, main, schema_text


@pytest.mark.parametrize("file", SCHEMAS)
def test_the_committed_schema_is_current_and_versioned(file: str) -> None:
    text = (PACKAGE / file).read_text(encoding="utf-8")
    assert text == schema_text(SCHEMAS[file])
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema_version"]["const"] == 1


def test_every_schema_of_the_package_is_here_or_has_its_own_generator() -> None:
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.schema.json")}
    own = {path for path in found if (PACKAGE / path).with_name("schema.py").is_file()}
    assert found == own | set(SCHEMAS)


def test_a_stale_file_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 0
    monkeypatch.setitem(SCHEMAS, "bench/bench.schema.json", SCHEMAS["verify/verify.schema.json"])
    assert main(["--check"]) == 1
    assert "bench.schema.json is stale" in capsys.readouterr().err


def test_documents_follow_their_schemas() -> None:
    old, new = result(scenario(1.0, 1.01)), result(scenario(2.0, 2.01))
    documents = {
        "bench/bench.schema.json": content(old),
        "bench/reports/comparison.schema.json": compare(old, new).model_dump(mode="json"),
        "bench/reports/reference.schema.json": beside_published(old, "H200").model_dump(
            mode="json"
        ),
    }
    for file, document in documents.items():
        jsonschema.validate(document, json.loads((PACKAGE / file).read_text(encoding="utf-8")))
