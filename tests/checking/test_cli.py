"""``gemma4ctl check`` as people run it."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gemma4ctl.cli.app import app
from tests.cli.conftest import ROOT, Result, cli, process, surroundings

__all__ = ["cli", "process", "surroundings"]  # fixtures

CLEAN = "sglang serve --model-path m\n"
WRONG = "sglang serve --model-path m --tpp-size 2\n"
FIXED = WRONG.replace("--tpp-size", "--tp-size")
NOTED = "sglang serve --model-path m --tp-siz 2\n"
LINE = "run.sh:1:29: error[unknown-flag]: SGLang 0.5.16 has no flag --tpp-size"

Run = Callable[..., Result]


def write(name: str, text: str) -> Path:
    Path(name).write_text(text)
    return Path(name)


def test_findings_on_stdout_summary_on_stderr(cli: Run) -> None:
    write("run.sh", WRONG)
    write("ok.md", f"```sh\n{CLEAN}```\n")
    done = cli("check", "run.sh", "ok.md")
    assert done.code == 4
    first, remedy = done.out.splitlines()
    assert first.startswith(LINE)
    assert remedy == "    try: write --tp-size"
    assert done.err == "gemma4ctl: 2 launches in 2 files, 1 error, 1 fixable with --fix\n"


def test_a_clean_file_prints_nothing(cli: Run) -> None:
    write("run.sh", CLEAN)
    done = cli("check", "run.sh")
    assert (done.code, done.out) == (0, "")
    assert done.err == "gemma4ctl: 1 launch in 1 file, no findings\n"


def test_notes_alone_are_clean(cli: Run) -> None:
    write("run.sh", NOTED)
    done = cli("check", "run.sh")
    assert done.code == 0
    assert "note[abbreviated-flag]" in done.out


def test_folders_are_walked(cli: Run) -> None:
    Path("deploy").mkdir()
    write("deploy/run.sh", WRONG)
    write("deploy/notes.txt", WRONG)
    done = cli("check", ".")
    assert done.out.startswith(f"deploy/{LINE}")
    assert "1 launch in 1 file" in done.err


def test_a_command_after_dashes(cli: Run) -> None:
    done = cli("check", "--sglang-version", "0.5.23", "--", *WRONG.split())
    assert done.code == 4
    assert done.out.startswith("<command>:1:29: error[unknown-flag]: SGLang 0.5.23 has no flag")
    assert cli("check", "--", *CLEAN.split()).code == 0


def test_the_difference_of_a_command_is_the_command_to_run(cli: Run) -> None:
    done = cli("check", "--diff", "--", *WRONG.split())
    assert f"+{FIXED}" in done.out


def test_words_with_spaces_stay_words(cli: Run) -> None:
    done = cli("check", "--", *CLEAN.split(), "--served-model-name", "a --no-such-flag")
    assert (done.code, done.out) == (0, "")


def test_a_command_that_launches_nothing_is_told(cli: Run) -> None:
    cli("check", "--", "vllm", "serve", "m").refused(2, "starts no SGLang", "sglang serve")


@pytest.mark.parametrize("words", [["--fix"], ["run.sh"]])
def test_a_command_is_not_combined(cli: Run, words: list[str]) -> None:
    cli("check", *words, "--", *WRONG.split()).refused(2, "exclude each other")


def test_standard_input(process: Run) -> None:
    done = process("check", "-", input=WRONG)
    assert done.code == 4
    assert done.out.startswith(f"<stdin>:{LINE.removeprefix('run.sh:')}")
    markdown = f"# Title\n\n```sh\n{WRONG}```\n"
    done = process("check", "--stdin-name", "docs/a.md", "-", input=markdown)
    assert done.out.startswith("docs/a.md:4:29: error[unknown-flag]")


def test_standard_input_beside_files(process: Run) -> None:
    write("run.sh", WRONG)
    done = process("check", "run.sh", "-", input=CLEAN)
    assert "2 launches in 2 files, 1 error" in done.err


def test_standard_input_that_is_no_text() -> None:
    done = CliRunner().invoke(app, ["check", "-"], input=b"\xff\x00")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "UTF-8" in done.stderr


def test_nothing_to_check(cli: Run) -> None:
    cli("check").refused(2, "nothing to check", "gemma4ctl check .")


def test_an_unreadable_file_does_not_stop_the_others(cli: Run) -> None:
    write("run.sh", WRONG)
    done = cli("check", "none.sh", "run.sh")
    assert done.code == 2
    assert done.out.startswith(LINE)
    assert "none.sh" in done.err
    assert "1 error, 1 failed" in done.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--sglang-version", "latest"], "--sglang-version does not take 'latest'"),
        (["--hardware", "H1000"], "H1000"),
        (["--diff", "--fix"], "exclude each other"),
        (["--diff", "--format", "json"], "exclude each other"),
    ],
)
def test_bad_options(cli: Run, words: list[str], text: str) -> None:
    write("run.sh", WRONG)
    cli("check", *words, "run.sh").refused(2, text)


@pytest.mark.parametrize("words", [["--gpus", "0"], ["--gpus", "two"], ["--format", "xml"]])
def test_bad_values(cli: Run, words: list[str]) -> None:
    write("run.sh", WRONG)
    cli("check", *words, "run.sh").refused(2, f"{words[0]} does not take {words[1]!r}")


def test_all_releases(cli: Run) -> None:
    write("run.sh", WRONG)
    done = cli("check", "--sglang-version", "all", "run.sh")
    assert done.code == 4
    assert "SGLang 0.5.11 to 0.5.23 has no flag --tpp-size" in done.out
    assert len(done.out.splitlines()) == 2


def test_an_unknown_release_is_told(cli: Run) -> None:
    write("run.sh", CLEAN)
    done = cli("check", "--sglang-version", "v0.9.0", "run.sh")
    assert done.code == 0
    assert "note[release-unknown]: SGLang 0.9.0 is not known" in done.out


def test_json(cli: Run) -> None:
    write("run.sh", WRONG)
    done = cli("check", "--format", "json", "run.sh")
    assert done.json["summary"]["errors"] == 1
    assert done.json["findings"][0]["column"] == 29


def test_sarif_and_github(cli: Run) -> None:
    write("run.sh", WRONG)
    done = cli("check", "--format", "sarif", "run.sh")
    (run,) = done.json["runs"]
    assert run["results"][0]["ruleId"] == "unknown-flag"
    assert run["invocations"][0]["exitCode"] == done.code == 4
    done = cli("check", "--format", "github", "run.sh")
    assert done.out.startswith("::error file=run.sh,line=1,col=29,")


def test_fix_writes_and_reports_what_is_left(cli: Run) -> None:
    file = write("run.sh", f"#!/bin/sh\r\n{WRONG}# --tpp-size\n{WRONG}sglang serve --x 1\n")
    file.chmod(0o751)
    done = cli("check", "--fix", "run.sh")
    assert done.code == 4
    assert "unknown-flag" in done.out
    assert "--tpp-size" not in done.out
    assert "2 fixed" in done.err
    expected = f"#!/bin/sh\r\n{FIXED}# --tpp-size\n{FIXED}sglang serve --x 1\n"
    assert file.read_bytes().decode() == expected
    assert stat.S_IMODE(file.stat().st_mode) == 0o751
    again = cli("check", "--fix", "run.sh")
    assert again.out == done.out
    assert "fixed" not in again.err
    assert file.read_bytes().decode() == expected


def test_fix_leaves_a_clean_file_untouched(cli: Run) -> None:
    file = write("run.sh", CLEAN)
    os.utime(file, ns=(1, 1))
    before = file.stat()
    assert cli("check", "--fix", "run.sh").code == 0
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_everything_fixed_is_clean(cli: Run) -> None:
    write("run.sh", WRONG)
    done = cli("check", "--fix", "run.sh")
    assert (done.code, done.out) == (0, "")
    assert done.err == "gemma4ctl: 1 launch in 1 file, no findings, 1 fixed\n"


def test_fix_of_a_link_is_refused(cli: Run) -> None:
    write("run.sh", WRONG)
    Path("link.sh").symlink_to("run.sh")
    done = cli("check", "--fix", "link.sh")
    assert done.code == 2
    assert "symbolic link" in done.err
    assert done.out.startswith("link.sh:1:29")
    assert Path("run.sh").read_text() == WRONG


def test_fix_of_standard_input_is_refused(process: Run) -> None:
    process("check", "--fix", "-", input=WRONG).refused(2, "exclude each other", "--diff")


def test_diff_prints_and_writes_nothing(cli: Run) -> None:
    file = write("run.sh", WRONG)
    done = cli("check", "--diff", "run.sh")
    assert done.code == 4
    assert done.out == f"--- run.sh\n+++ run.sh\n@@ -1 +1 @@\n-{WRONG}+{FIXED}"
    assert LINE in done.err
    assert file.read_text() == WRONG


def test_a_pipe_gets_no_colour_a_terminal_does(
    cli: Run, process: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemma4ctl.checking.report import Checked, Report
    from gemma4ctl.cli.commands.check import _print
    from tests.checking.formats.reports import FIXABLE

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def printed() -> str:
        terminal = Terminal()
        _print(Report((Checked("f", findings=(FIXABLE,)),)), "text", terminal)
        return terminal.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in printed()
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b[" not in printed()
    write("run.sh", WRONG)
    assert "\x1b[" not in process("check", "run.sh").out


GEMMA = """\
services:
  server:
    image: lmsysorg/sglang:v0.5.16
    command: [sglang, serve, --model-path, google/gemma-4-E4B-it, --host, 127.0.0.1]
"""


@pytest.mark.parametrize(
    ("name", "content", "unwanted"),
    [
        ("notes.md", "# Nothing here\n", {"yaml", "gemma4ctl.profiles"}),
        ("compose.yaml", GEMMA, {"hashlib", "decimal", "jinja2"}),
    ],
)
def test_files_are_checked_without_slow_imports(
    name: str, content: str, unwanted: set[str]
) -> None:
    write(name, content)
    slow = unwanted | {"pydantic", "annotated_types", "rich"}
    program = (
        "import sys\nfrom gemma4ctl.cli import main\n"
        f"try: main()\nfinally: print(sorted({slow} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "check", name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
