"""``gemma4ctl profiles``: lists, details, validation, schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.profiles import schema, views
from gemma4ctl.profiles.load import builtin_file, load
from gemma4ctl.profiles.reading import parse_trusted

PROFILES = load()


def test_list_rows_name_everything() -> None:
    rows = views.list_rows(PROFILES)
    for section in ("variants", "platforms", "releases"):
        assert [row["name"] for row in rows[section]] == list(getattr(PROFILES, section))
    assert len(rows["checkpoints"]) == len(PROFILES.checkpoints)
    assert [row["name"] for row in rows["releases"] if row["default"]] == ["0.5.16"]
    h200 = next(row for row in rows["platforms"] if row["name"] == "H200")
    assert h200["published_cells"] == 12
    json.dumps(rows)


@pytest.mark.parametrize(
    ("text", "kind", "name", "section"),
    [
        ("26b", "variant", "26B-A4B", "checkpoints"),
        ("h200", "platform", "H200", "cells"),
        ("0.5.16", "release", "0.5.16", "images"),
    ],
)
def test_show(text: str, kind: str, name: str, section: str) -> None:
    shown = views.show(PROFILES, text)
    assert (shown["kind"], shown["name"]) == (kind, name)
    assert shown[section]
    for row in shown[section]:
        assert row["source"] in shown["sources"]
    assert shown["source"] in shown["sources"]
    json.dumps(shown)


def test_show_unknown() -> None:
    with pytest.raises(UsageError, match="has no entry H900") as caught:
        views.show(PROFILES, "H900")
    assert caught.value.remedies == ("gemma4ctl profiles list",)


def test_validate(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("mtp: {steps: 4}\n")
    assert views.validate(path) == []
    path.write_text("mtp: {steps: many}\n")
    assert views.validate(path) == [
        f"{path}:1:7: mtp.steps: input should be a valid integer, unable to parse string as an "
        "integer, is 'many'"
    ]


def test_committed_schema_is_current() -> None:
    assert schema.SCHEMA_FILE.read_text(encoding="utf-8") == schema.schema_text()
    assert schema.main(["--check"]) == 0


def test_builtin_table_validates_against_the_schema() -> None:
    table = parse_trusted(builtin_file().read_text(encoding="utf-8"))
    jsonschema.validate(table, json.loads(schema.schema_text()))
    table["platforms"]["H200"]["memory"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(table, json.loads(schema.schema_text()))


def test_a_stale_schema_is_noticed_and_rewritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema, "SCHEMA_FILE", tmp_path / "schema.json")
    assert schema.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0
