"""Where files are kept: the variables that move them, and the places without."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl import folders
from gemma4ctl.errors import UsageError

HOME = {"HOME": "/home/me"}


@pytest.mark.parametrize(
    ("environment", "state", "config"),
    [
        (HOME, "/home/me/.local/state/gemma4ctl", "/home/me/.config/gemma4ctl"),
        (
            {**HOME, "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"},
            "/s/gemma4ctl",
            "/c/gemma4ctl",
        ),
        (
            {**HOME, "XDG_STATE_HOME": "relative", "XDG_CONFIG_HOME": ""},
            "/home/me/.local/state/gemma4ctl",
            "/home/me/.config/gemma4ctl",
        ),
    ],
)
def test_our_own_files(environment: dict[str, str], state: str, config: str) -> None:
    assert folders.state(environment) == Path(state)
    assert folders.config(environment) == Path(config)


@pytest.mark.parametrize(
    ("environment", "home", "models"),
    [
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface", None),
        ({"XDG_CACHE_HOME": "/x", "HF_HOME": "/hf"}, "/hf", None),
        ({"HF_HOME": "/hf", "HF_HUB_CACHE": "/m"}, "/hf", "/m"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/n"}, "/hf", "/n"),
    ],
)
def test_hugging_faces_files(environment: dict[str, str], home: str, models: str | None) -> None:
    assert folders.hugging_face(environment) == Path(home)
    assert folders.hub_cache(environment) == (Path(models) if models else None)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account without a home folder, as that of a container started with any user number."""

    def unknown(user: object) -> None:
        raise KeyError(user)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("pwd.getpwnam", unknown)


@pytest.mark.usefixtures("nobody")
def test_an_account_without_a_home_has_that_of_containers() -> None:
    assert folders.state({}) == Path("/.local/state/gemma4ctl")
    assert folders.config({}) == Path("/.config/gemma4ctl")
    assert folders.hugging_face({}) == Path("/.cache/huggingface")
    assert folders.hub_cache({"HF_HUB_CACHE": "~other/hub"}) == Path("~other/hub")


@pytest.mark.usefixtures("nobody")
def test_a_path_in_an_unknown_home_stays_as_it_is() -> None:
    assert folders.expanded("~other/model") == Path("~other/model")


def test_a_folder_is_made_or_it_is_said_why_not(tmp_path: Path) -> None:
    folders.make(tmp_path / "a" / "b", private=True)
    folders.make(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"the folder .*file/c cannot be made"):
        folders.make(tmp_path / "file" / "c")
