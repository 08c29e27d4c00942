from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from gemma4ctl.fitting import document as fit_document
from gemma4ctl.fitting.document import FitDocument
from tests.fitting.hosts import everything
from tests.fitting.samples import CANNOT, LESS, document, variant

SCHEMA_FILE = Path(fit_document.__file__).with_name("fit.schema.json")


@pytest.mark.parametrize(
    "found",
    [document(variant(), LESS, CANNOT), everything("RTX-4090", 1), everything("Xeon")],
    ids=["constructed", "RTX-4090", "Xeon"],
)
def test_documents_follow_the_schema(found: FitDocument) -> None:
    plain = found.model_dump(mode="json")
    jsonschema.validate(plain, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert plain["schema_version"] == 1
    assert FitDocument.model_validate_json(found.model_dump_json()) == found
