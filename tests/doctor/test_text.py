from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4ctl.cli.app import app
from gemma4ctl.doctor import TITLE, report_text
from gemma4ctl.doctor.text import LARGEST_TEXT

Make = Callable[..., dict[str, Any]]


def outside_fences_closed(text: str) -> bool:
    return text.count("<details>") == text.count("</details>")


@pytest.mark.parametrize("host", ["h100-mig", "mi300x-amd-smi", "empty", "lost", "broken"])
def test_reads_well_at_80_columns(host: str, made: Make) -> None:
    text = report_text(made(host, {"CUDA_VISIBLE_DEVICES": "0", "GEMMA4CTL_PORT": "31000"}))
    summary = text.partition("<details>")[0]
    assert text.startswith(TITLE)
    wide = [line for line in summary.splitlines() if len(line) > 80 and "sha256:" not in line]
    assert not wide
    assert outside_fences_closed(text)
    assert "\x1b" not in text
    for title in ("Hardware", "Plans", "Docker", "Settings", "Environment"):
        assert f"## {title}\n" in summary
    assert "31000 (environment GEMMA4CTL_PORT)" in summary


def test_shows_plans_and_their_errors(made: Make) -> None:
    text = report_text(made("mi300x-amd-smi"))
    assert "E2B      1 x MI300X (cli), TP 1, triton" in text
    plans = report_text(made("lost", {"CUDA_VISIBLE_DEVICES": ""}))
    assert "\nE2B      no GPU that a plan can use\nE4B " in plans


def test_tools_stand_in_folded_fences(made: Make) -> None:
    host = {
        "commands": {
            "amd-smi list --json": {"$status": 3, "stdout": "out ```` of", "stderr": "luck"}
        }
    }
    text = report_text(made(host))
    assert "<details><summary>amd-smi list --json</summary>\n\n`````text\nexit status 3\n" in text


def test_broken_parts_are_named(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    document = made("empty")
    error = {"error": "OSError: gone"}
    for name in ("inventory", "plans", "docker", "log", "recorded", "system", "sglang"):
        document[name] = error
    text = report_text(document)
    assert text.count("could not be made: OSError: gone") == 4
    assert "Serve log: OSError: gone" in text
    assert "Recording of all tools: OSError: gone" in text


def test_sglang_and_log_are_shown(made: Make) -> None:
    document = made("empty")
    document["sglang"] = {"executable": "/x/sglang", "python": None, "versions": {"torch": "2.9"}}
    document["log"] = {"file": "serve-1.log", "bytes": 5, "changed": "now", "last_lines": "bye"}
    document["recorded"]["cut_short"] = {"amd": "no answer"}
    text = report_text(document)
    assert "executable        /x/sglang" in text
    assert "torch             2.9" in text
    assert "<summary>serve log: serve-1.log, now, 5 bytes</summary>" in text
    assert "Recording of amd tools: no answer" in text


def test_fits_into_an_issue(made: Make) -> None:
    document = made("empty")
    document["recorded"]["commands"] = {f"tool {n}": "line\n" * 3000 for n in range(12)}
    text = report_text(document)
    assert len(text) <= LARGEST_TEXT
    assert text.count("[cut after") == 12


def test_command_prints_one_json_object(machine: dict[str, str]) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schema_version"] == 1


def test_command_prints_text(machine: dict[str, str]) -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.startswith(TITLE)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_file(machine: dict[str, str], tmp_path: Path, options: list[str]) -> None:
    file = tmp_path / "report"
    for _ in range(2):  # its own file is replaced
        result = CliRunner().invoke(app, ["doctor", *options, "-o", str(file)])
        assert result.exit_code == 0 and result.stdout == ""
        assert "look through it" in result.stderr
    if options:
        command = ["suggest", "--model", "E2B", "--hardware-file", str(file), "--json"]
        if json.loads(file.read_text())["inventory"]["devices"]:
            assert CliRunner().invoke(app, command).exit_code == 0
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("about gemma4ctl, but not ours")
    assert CliRunner().invoke(app, ["doctor", "-o", str(file)]).exit_code == 2
    assert CliRunner().invoke(app, ["doctor", "-o", str(file), "--force"]).exit_code == 0


def test_nothing_heavy_is_imported(made: Make) -> None:
    report_text(made("empty"))
    assert not {"torch", "sglang", "transformers"} & set(sys.modules)
