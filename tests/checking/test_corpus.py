"""Realistic files of every kind: all planted faults are found, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gemma4ctl.checking.files import check
from gemma4ctl.checking.judge import Options
from gemma4ctl.checking.readers import inputs

CORPUS = Path(__file__).parent / "corpus"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((CORPUS / "corpus.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", EXPECTED)
def test_planted_faults_are_found_and_nothing_else(name: str) -> None:
    checked = check(CORPUS / name, inputs.load(CORPUS / name), Options())
    planted = sorted((fault["line"], fault["code"]) for fault in EXPECTED[name]["findings"])
    found = sorted(
        (finding.place.line, finding.code)
        for finding in checked.findings
        if finding.level != "note"
    )
    assert found == planted
    assert checked.launches == EXPECTED[name]["launches"]


@pytest.mark.parametrize("name", EXPECTED)
def test_windows_line_ends_change_no_place(name: str) -> None:
    text = inputs.load(CORPUS / name).replace("\n", "\r\n")
    checked = check(CORPUS / name, text, Options())
    planted = sorted((fault["line"], fault["code"]) for fault in EXPECTED[name]["findings"])
    found = sorted((f.place.line, f.code) for f in checked.findings if f.level != "note")
    assert found == planted


def test_the_corpus_is_complete_and_mixed() -> None:
    files = {
        str(path.relative_to(CORPUS))
        for path in CORPUS.rglob("*")
        if path.is_file() and path.name != "corpus.yaml"
    }
    assert files == set(EXPECTED)
    clean = [name for name, facts in EXPECTED.items() if not facts["findings"]]
    assert len(files) >= 40
    assert len(files) / 4 <= len(clean) <= len(files) / 2
    assert {Path(name).parts[0] for name in files} == {
        *("shell", "markdown", "docker", "compose", "kubernetes", "helm"),
        *("systemd", "slurm", "workflows", "quadlet", "rst", "others"),
    }
