from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.rendering.planfile import plan_hash, read_plan, write_plan

from .plans import PLANS, make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    write_plan(PLANS["h200-26b-mtp-tp2"], path, force=False)
    return path


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", PLANS)
def test_read_back_is_equal(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_plan(PLANS[name], path, force=False)
    assert read_plan(path) == PLANS[name]
    write_plan(PLANS["mig-slice"], path, force=False)  # our own file may be replaced
    assert read_plan(path) == PLANS["mig-slice"]


def test_hashes_of_what_it_was_made_from(file: Path) -> None:
    document = json.loads(file.read_text())
    plan = PLANS["h200-26b-mtp-tp2"]
    assert document["plan_hash"] == plan_hash(plan)
    assert document["profiles_hash"] == plan.profiles_hash
    assert document["gemma4ctl_version"] == plan.gemma4ctl_version


def test_hash_tells_plans_apart() -> None:
    assert plan_hash(make()) == plan_hash(make())
    assert plan_hash(make()) != plan_hash(make(port=30001))


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_plan(path)
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_tampered(file: Path) -> None:
    file.write_text(file.read_text().replace("30000", "30001"))
    assert "was changed" in refused(file)


def test_tampered_hash_of_the_profiles(file: Path) -> None:
    edit(file, profiles_hash="00")
    assert "contradicts itself" in refused(file)


def test_truncated(file: Path) -> None:
    file.write_text(file.read_text()[:-40])
    assert "cut short" in refused(file)


def test_binary(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    assert "is not JSON" in refused(file)


@pytest.mark.parametrize("text", ["[]", "{}", '{"kind": "other"}'])
def test_foreign(file: Path, text: str) -> None:
    file.write_text(text)
    assert "is not a plan file" in refused(file)


def test_newer_schema(file: Path) -> None:
    edit(file, schema_version=2)
    assert "schema version 2" in refused(file)


def test_content_that_is_no_plan(file: Path) -> None:
    from gemma4ctl.rendering.planfile import _content_hash

    content = {"release": 1}
    edit(file, plan=content, plan_hash=_content_hash(content))
    assert "does not hold a plan" in refused(file)


def test_missing(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "absent.json")


def test_foreign_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("{}")
    with pytest.raises(UsageError, match="--force"):
        write_plan(make(), path, force=False)
    write_plan(make(), path, force=True)
    assert read_plan(path) == make()
