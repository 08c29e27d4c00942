"""Optional packages, there and not."""

from __future__ import annotations

import sys

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.extras import require


def test_a_package_that_is_there_is_imported() -> None:
    import json

    assert require("json", "client", "anything") is json


def test_a_missing_package_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UsageError) as raised:
        require("openai", "client", "verify")
    assert raised.value.exit_code == 2
    assert "verify needs the Python package openai" in str(raised.value)
    assert "pip install 'gemma4ctl[client]'" in str(raised.value)
