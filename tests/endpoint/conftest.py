"""Places to talk to."""

from __future__ import annotations

import pytest

from tests.ports import free_port


@pytest.fixture
def port() -> int:
    """A port where nothing listens."""
    return free_port()
