from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.detect import detect
from gemma4ctl.hardware.inventory import Inventory

from .recorded import access_to, recorded


@pytest.fixture
def access(tmp_path: Path) -> Callable[..., Access]:
    """Makes an access to a recorded host, given by name or as a record, without some parts."""

    def make(host: str | dict[str, Any], *, without: tuple[str, ...] = ()) -> Access:
        record = recorded(host) if isinstance(host, str) else host
        return access_to({k: v for k, v in record.items() if k not in without}, tmp_path)

    return make


@pytest.fixture
def detected(access: Callable[..., Access]) -> Callable[..., Inventory]:
    """Detects a recorded host."""

    def run(
        host: str | dict[str, Any],
        environ: Mapping[str, str] | None = None,
        *,
        without: tuple[str, ...] = (),
    ) -> Inventory:
        return detect(environ or {}, access(host, without=without))

    return run
