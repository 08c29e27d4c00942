"""Real SGLang on a CPU, where it is installed: otherwise its tests are skipped."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import pytest

RELEASE = "0.5.16"


def missing() -> str | None:
    """Why real SGLang cannot be used here."""
    for name in ("torch", "transformers", "sglang"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    found = importlib.metadata.version("sglang")
    return None if found == RELEASE else f"SGLang {found} is installed, not {RELEASE}"


@pytest.fixture(scope="session")
def real_sglang() -> None:
    """The real SGLang, importable."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    from tests.sglang_model import stubs

    stubs.install()
