"""Folders, files and texts to check."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from gemma4ctl.checking import files
from gemma4ctl.checking.files import KINDS, Target, check, check_text, expand
from gemma4ctl.checking.judge import Options
from gemma4ctl.errors import UsageError

ROOT = Path(__file__).parents[2]
WRONG = "sglang serve --model-path m --tpp-size 2\n"


def made(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(WRONG)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "run.sh",
        "RUN.md",
        "compose.yaml",
        "docker-compose.override.yml",
        "Dockerfile",
        "deploy/Dockerfile.gpu",
        "gpu.dockerfile",
        "Containerfile",
        "sglang.service",
        "job.slurm",
        "job.sbatch",
        "charts/x/values.yaml",
    ],
)
def test_names_that_can_hold_launches(name: str) -> None:
    assert KINDS.search(name)


@pytest.mark.parametrize(
    "name", ["x.py", "README", "xsh", "Dockerfile/x.png", "a.json", "a.md.bak"]
)
def test_names_that_are_left_alone(name: str) -> None:
    assert not KINDS.search(name)


def test_the_hook_takes_the_same_files() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["files"] == KINDS.pattern


def test_a_folder_is_walked_in_order_without_what_others_wrote(tmp_path: Path) -> None:
    made(tmp_path, "b.sh", "a/z.md", "a/Dockerfile", ".github/x.yml", "x.py")
    made(tmp_path, ".git/hooks/a.sh", "node_modules/x/a.sh", "env/lib/a.sh", "env/pyvenv.cfg")
    (tmp_path / "link.sh").symlink_to(tmp_path / "b.sh")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.sh")
    found = [str(path.relative_to(tmp_path)) for path in expand([tmp_path])]
    assert found == ["b.sh", ".github/x.yml", "a/Dockerfile", "a/z.md"]


def test_named_files_are_taken_whatever_their_name_and_once(tmp_path: Path) -> None:
    made(tmp_path, "odd.name", "b.sh")
    odd = tmp_path / "odd.name"
    assert expand([odd, tmp_path, odd, tmp_path / "none"]) == [
        odd,
        tmp_path / "b.sh",
        tmp_path / "none",
    ]


def test_a_folder_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 2)
    made(tmp_path, "a.sh", "b.sh")
    assert len(expand([tmp_path])) == 2
    made(tmp_path, "c.sh")
    with pytest.raises(UsageError, match="more than 2 files"):
        expand([tmp_path])


def test_a_text_is_checked_without_its_file() -> None:
    (found,) = check_text(Path("none/run.sh"), WRONG, Options())
    assert (found.code, found.path) == ("unknown-flag", "none/run.sh")
    assert WRONG[found.place.column - 1 : (found.end_column or 0) - 1] == "--tpp-size"


def test_equal_findings_are_told_once_and_under_the_name_given() -> None:
    once = check(None, WRONG, Options(), "<command>")
    assert [one.path for one in once.findings] == ["<command>"]
    assert (once.path, once.launches) == ("<command>", 1)


def test_what_cannot_be_read_has_an_error(tmp_path: Path) -> None:
    name = str(tmp_path / "none.sh")
    found = Target(name, Path(name)).examine(Options())
    assert (found.path, found.launches) == (name, 0)
    assert found.error
    assert name in found.error


def test_too_many_findings_are_cut_off_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FINDINGS", 50)
    file = tmp_path / "run.sh"
    file.write_text(WRONG * (files.MAX_FINDINGS + 1))
    checked = Target(str(file), file).examine(Options())
    assert len(checked.findings) == files.MAX_FINDINGS
    assert checked.error == f"{file} has more than 50 findings; what follows these was not checked."
    file.write_text(WRONG * files.MAX_FINDINGS)
    assert Target(str(file), file).examine(Options()).error is None


def test_a_refused_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    file.write_text("sglang serve" + " x" * 1_000)
    error = Target(str(file), file).examine(Options()).error
    assert error is not None
    assert error.startswith(f"{file}: there is a command of 1,000 words")


def test_a_fix_is_written_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    file = made(tmp_path, "run.sh") / "run.sh"
    link = tmp_path / "link.sh"
    link.symlink_to(file)
    for path in (link, file):
        target = Target(str(path), path)
        found = target.examine(Options())
        after = target.mended(found, Options())
        assert (after.fixed, after.findings) == (1, ())
        written = target.write(found, after)
        if path == link:
            assert written.error
            assert written.findings == found.findings
            assert file.read_text() == WRONG
        else:
            assert written is after
            assert file.read_text() == WRONG.replace("--tpp-size", "--tp-size")
