"""Plans that were reviewed: a change shows as a diff."""

from __future__ import annotations

from difflib import unified_diff

import pytest

from .golden_files import FOLDER, PLATFORMS, golden_files


@pytest.mark.parametrize("name", [f"{platform}.txt" for platform in PLATFORMS])
def test_as_reviewed(name: str) -> None:
    reviewed = (FOLDER / name).read_text(encoding="utf-8")
    now = golden_files()[name]
    diff = unified_diff(reviewed.splitlines(True), now.splitlines(True), "reviewed", "now")
    if now != reviewed:
        pytest.fail("".join(diff) + "\nIf meant: python -m tests.matrix.golden_files")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.txt")} == set(golden_files())
