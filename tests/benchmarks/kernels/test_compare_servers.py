"""The verdicts over records of servers; the records are constructed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.certifying.answers import NOISE, answers

FUSED = ["[time] gemma4ctl 0.1.0 kernels: fused, Gemma4ForConditionalGeneration, 35 layers: norms"]


@pytest.fixture
def compare(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("compare_servers")


def record(folder: Path, name: str, announced: list[str], **more: Any) -> None:
    seed, mean = {"stock": (1, 0.0), "fused": (3, 0.0)}.get(name, (4, 0.5))
    rows = {
        kind: [sample.model_dump(mode="json") for sample in answers(own, noise=NOISE, mean=mean)]
        for kind, own in (("alone", seed), ("together", seed + 10))
    }
    document = {"variant": "E2B", "contender": name, "announced": announced, **more, **rows}
    (folder / f"E2B-{name}.json").write_text(json.dumps(document))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    record(tmp_path, "stock", [])
    record(tmp_path, "fused", FUSED)
    record(tmp_path, "broken-slot", FUSED)
    return tmp_path


def test_fused_passes_and_broken_is_refused(
    compare: ModuleType, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main(["judge", str(out)]) == 0
    said = capsys.readouterr().out
    assert "E2B fused: mean 0.0" in said and "passed: right" in said
    assert "E2B broken-slot" in said and "refused: right" in said


def test_a_fused_server_that_is_wrong_fails(compare: ModuleType, out: Path) -> None:
    (out / "E2B-fused.json").write_text((out / "E2B-broken-slot.json").read_text())
    assert compare.main(["judge", str(out)]) == 4


def test_a_broken_one_that_passes_fails(
    compare: ModuleType, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison would see nothing."""
    (out / "E2B-broken-slot.json").write_text((out / "E2B-fused.json").read_text())
    assert compare.main(["judge", str(out)]) == 4
    assert "passed: WRONG" in capsys.readouterr().out


def test_a_server_without_the_kernels_proves_nothing(
    compare: ModuleType, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(out, "fused", [FUSED[0].replace("fused", "stock")])
    assert compare.main(["judge", str(out)]) == 4
    assert "did not run the kernels" in capsys.readouterr().out


@pytest.mark.parametrize(("load", "status"), [(2.0, 0), (3.5, 4)])
def test_experts_must_be_used_evenly(
    compare: ModuleType, out: Path, load: float, status: int
) -> None:
    record(out, "stock", [], expert_load=load)
    assert compare.main(["judge", str(out)]) == status


def test_every_control_is_a_contender_of_its_own(compare: ModuleType) -> None:
    kinds = [c.environment for name, c in compare.CONTENDERS.items() if name.startswith("broken")]
    assert [kind["BROKEN"] for kind in kinds] == ["residual", "scalar", "slot"]
    assert {kind["SGLANG_EXTERNAL_MODEL_PACKAGE"] for kind in kinds} == {"broken"}
