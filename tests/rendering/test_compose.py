from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from gemma4ctl.errors import UsageError
from gemma4ctl.rendering.compose import MARKER, compose, scalar
from gemma4ctl.rendering.planfile import plan_hash

from .parse_back import from_compose, interpolated
from .plans import HOST, PLANS, make
from .test_shell import TEXT

SCHEMA = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text())


def has_docker_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", PLANS)
def test_valid_by_the_published_schema(name: str) -> None:
    Draft202012Validator(SCHEMA).validate(yaml.safe_load(compose(PLANS[name], HOST)))


def test_the_published_schema_does_refuse() -> None:
    document = yaml.safe_load(compose(PLANS["h200-26b-mtp-tp2"], HOST))
    document["services"]["sglang"]["gpu_devices"] = ["all"]
    assert not Draft202012Validator(SCHEMA).is_valid(document)


@pytest.mark.skipif(not has_docker_compose(), reason="docker compose is not installed")
@pytest.mark.parametrize("name", PLANS)
def test_valid_by_docker_compose(name: str, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(compose(PLANS[name], HOST))
    done = subprocess.run(
        ["docker", "compose", "--file", str(file), "config", "--format", "json"],
        capture_output=True,
        check=True,
    )
    (service,) = json.loads(done.stdout)["services"].values()
    assert service["command"] == from_compose(file.read_text()).argv


def test_first_line_is_the_marker_with_the_plan() -> None:
    plan = PLANS["h200-26b-mtp-tp2"]
    first = compose(plan, HOST).splitlines()[0]
    assert first == f"{MARKER} 0.1.0, plan {plan_hash(plan)[:16]}"


def test_service_of_its_own_accord() -> None:
    (service,) = yaml.safe_load(compose(PLANS["local-model-and-draft"], HOST))["services"].values()
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True
    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert service["healthcheck"]["test"][-1] == "http://127.0.0.1:8000/health"
    assert not {"privileged", "network_mode", "ipc", "pid"} & service.keys()


def test_note_for_another_host_is_a_comment() -> None:
    text = compose(PLANS["mi300x-31b-tp2-simulated"], HOST)
    assert "# Group 44 is video" in text


@settings(max_examples=60, deadline=None)
@given(path=TEXT, word=TEXT)
def test_any_text_survives(path: str, word: str) -> None:
    plan = make(model_path=f"/{path}/model", local=True, extra=("--served-model-name", word))
    parsed = from_compose(compose(plan, HOST))
    assert parsed.argv[-1] == word
    (source,) = [source for source, (_, read_only) in parsed.mounts.items() if read_only]
    assert Path(source) == Path(f"/{path}/model")


@given(text=TEXT)
def test_scalar_is_one_line_and_the_same_text(text: str) -> None:
    assert "\n" not in scalar(text)
    assert interpolated(yaml.safe_load(scalar(text))) == text


def test_path_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        compose(make(model_path="/data/\udcff", local=True), HOST)
