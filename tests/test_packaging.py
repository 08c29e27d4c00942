"""The wheel and the sdist hold what they must, and the wheel works without the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = (
    "gemma4ctl/py.typed",
    "gemma4ctl/profiles/profiles.yaml",
    "gemma4ctl/profiles/profiles.json",
    "gemma4ctl/profiles/profiles.schema.json",
    "gemma4ctl/profiles/measurements.yaml",
    "gemma4ctl/rendering/plan.schema.json",
    "gemma4ctl/checking/formats/check.schema.json",
    "gemma4ctl/flags/history.json",
    "gemma4ctl/flags/tables/0.5.16.json",
    "gemma4ctl/templates/compose.yaml.j2",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built without an index."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel was installed into."""
    target = tmp_path_factory.mktemp("target")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True)
    return target


def run(installed: Path, folder: Path, *arguments: str) -> str:
    """What ``python`` with ``arguments`` prints outside the repository."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_CONFIG_HOME": str(folder)}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_data_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(SHIPPED) <= names
    strays = {n for n in names if not n.startswith("gemma4ctl/") and ".dist-info/" not in n}
    assert not strays
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_is_for_every_platform(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_holds_every_source_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "gemma4ctl").rglob("*.py")}
    assert sources <= names


def test_the_metadata_names_command_license_and_extras(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_string(archive.read(info).decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.10"
    extras = ["amd", "client", "plot", "sglang", "test", "tune"]
    assert metadata.get_all("Provides-Extra") == extras
    entries = archive.read(info.replace("METADATA", "entry_points.txt")).decode()
    assert "gemma4ctl = gemma4ctl.cli:main" in entries


def test_the_sdist_can_be_built_and_tested(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    needed = {"pyproject.toml", "profiles.yaml", "README.md", "LICENSE", ".ci/run"}
    assert needed | {"tests/test_packaging.py", "tools/cli_docs.py", "docs/cli.md"} <= names


def test_the_wheel_works_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import gemma4ctl; print(gemma4ctl.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    request = ("--model", "26B-A4B", "--mtp", "--hardware", "H200")
    plan = json.loads(run(installed, tmp_path, "-m", "gemma4ctl", "suggest", *request, "--json"))
    assert plan["command"]["argv"][:2] == ["sglang", "serve"]
    compose = run(installed, tmp_path, "-m", "gemma4ctl", "docker", *request, "--compose")
    assert "services:" in compose


def test_the_wheel_explains_user_tables_and_flags(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("schema_version: 1\n")
    run(installed, tmp_path, "-m", "gemma4ctl", "profiles", "validate", "mine.yaml")
    assert '"properties"' in run(installed, tmp_path, "-m", "gemma4ctl", "profiles", "schema")
    extra = (
        "--model",
        "E4B",
        "--hardware",
        "L40S",
        "--format",
        "shell",
        "--",
        "--max-running",
        "8",
    )
    flags = run(installed, tmp_path, "-m", "gemma4ctl", "suggest", *extra)
    assert "--max-running" in flags
