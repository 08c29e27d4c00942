from __future__ import annotations

import pytest

from .golden_files import FOLDER, golden_files

FILES = golden_files()


@pytest.mark.parametrize("name", FILES)
def test_as_reviewed(name: str) -> None:
    assert FILES[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == FILES.keys()
