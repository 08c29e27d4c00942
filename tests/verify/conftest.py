"""Places to talk to, and the scripts that record answers."""

from __future__ import annotations

import pytest

from tests.benchmarks.conftest import script as script
from tests.ports import free_port


@pytest.fixture
def port() -> int:
    """A port where nothing listens."""
    return free_port()
