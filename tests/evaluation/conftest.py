"""Stand-in evaluators that replay recorded outputs, and what the tests share."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.evaluation.evaluate import Subject

HERE = Path(__file__).parent
STUBS = HERE / "stubs"
CAPTURED = HERE / "captured"
URL = "http://127.0.0.1:30000"


class Standins:
    """An environment in which this interpreter has the stand-in evaluators."""

    def __init__(self, folder: Path) -> None:
        self.outputs = folder / "outputs"
        self.outputs.mkdir()
        self.dump = folder / "dump.json"
        self.python = sys.executable
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(STUBS),
            "FAKE_OUTPUT": str(self.outputs),
            "FAKE_DUMP": str(self.dump),
        }

    def says(self, name: str, captured: str) -> None:
        """Have the evaluator (a task, or few_shot) print a recorded output."""
        shutil.copy(CAPTURED / captured, self.outputs / f"{name}.txt")

    def scores(self, **changes: float) -> None:
        """Have sgl-eval write its recorded metrics, with other rates."""
        metrics = json.loads((CAPTURED / "metrics.json").read_text())
        metrics["aggregate"] |= changes
        (self.outputs / "metrics.json").write_text(json.dumps(metrics))

    @property
    def called(self) -> Any:
        """What the stand-in was called with."""
        return json.loads(self.dump.read_text())


@pytest.fixture
def standins(tmp_path: Path) -> Standins:
    return Standins(tmp_path)


@pytest.fixture
def subject() -> Callable[..., Subject]:
    """Makes what is scored; 12B without a key by default."""

    def make(variant: str | None = "12B", key: str | None = None, **facts: Any) -> Subject:
        return Subject(Endpoint(URL, key), "google/gemma-4-12B-it", variant, Facts(**facts))

    return make
