"""``gemma4ctl profiles``: lists, details, validation, and the generated files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.profiles import compiled, schema, views
from gemma4ctl.profiles.load import builtin_file, load
from gemma4ctl.profiles.reading import parse_trusted

PROFILES = load()


def test_list_rows_name_everything() -> None:
    rows = views.list_rows(PROFILES)
    for section in ("variants", "platforms", "releases"):
        assert [row["name"] for row in rows[section]] == list(getattr(PROFILES, section))
    for section in ("checkpoints", "images", "cells"):
        assert len(rows[section]) == len(getattr(PROFILES, section))
    on_h200 = [row for row in rows["cells"] if row["platform"] == "H200"]
    assert {row["variant"] for row in on_h200} == set(PROFILES.variants)
    assert {row["vendor"] for row in rows["images"]} >= {"nvidia", "amd"}
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


@pytest.mark.parametrize("module", [schema, compiled])
def test_generated_files_are_current(module: ModuleType) -> None:
    assert module.main(["--check"]) == 0


def test_builtin_table_validates_against_the_schema() -> None:
    table = parse_trusted(builtin_file().read_text(encoding="utf-8"))
    jsonschema.validate(table, json.loads(schema.schema_text()))
    table["platforms"]["H200"]["memory"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(table, json.loads(schema.schema_text()))


@pytest.mark.parametrize("module", ["gemma4ctl.profiles.schema", "gemma4ctl.profiles.compiled"])
def test_generators_run_as_modules(module: str) -> None:
    checked = subprocess.run([sys.executable, "-m", module, "--check"], check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize(("module", "name"), [(schema, "SCHEMA_FILE"), (compiled, "COMPILED_FILE")])
def test_a_stale_file_is_noticed_and_rewritten(
    module: ModuleType,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, name, tmp_path / "generated.json")
    assert module.main(["--check"]) == 1
    assert f"is stale: run python -m {module.__name__}" in capsys.readouterr().err
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
