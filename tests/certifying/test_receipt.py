from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemma4ctl import __version__
from gemma4ctl.certifying import lookup
from gemma4ctl.certifying.compare import compare
from gemma4ctl.certifying.receipt import Key, Receipt, certified, write
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.hardware.simulate import simulate
from gemma4ctl.profiles.load import load
from gemma4ctl.sglang_model import support

from .answers import answers

KEY = {"weights": "abc", "gpu": "NVIDIA H200", "driver": "580.1", "module": "0.1.0"}


def receipt(
    release: str = "0.5.16", *, passed: bool = True, seconds: float = 0.0025, **key: str
) -> Receipt:
    stock = answers(1)
    return Receipt(
        date="2026-01-01T00:00:00+00:00",
        variant="E2B",
        model_path="/models/E2B",
        key=Key(**{"release": release, **KEY, **key}),
        comparisons={
            "alone": compare(stock, stock, stock),
            "crowd": compare(stock, stock, answers(2, mean=0.0 if passed else 1.0)),
        },
        stock_seconds=0.004,
        fused_seconds=seconds,
    )


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path)}


def test_a_receipt_certifies_its_own_key(home: dict[str, str]) -> None:
    file = write(receipt(), home)
    assert file.parent.name == "kernels"
    assert Receipt.model_validate_json(file.read_text()) == receipt()
    assert certified(home, **KEY) == ("0.5.16",)
    write(receipt("0.5.18"), home)
    assert certified(home, **KEY) == ("0.5.16", "0.5.18")
    assert receipt().ratio == pytest.approx(1.6)


@pytest.mark.parametrize("name", list(KEY))
def test_with_anything_changed_it_certifies_nothing(home: dict[str, str], name: str) -> None:
    write(receipt(**{name: "other"}), home)
    assert certified(home, **KEY) == ()


def test_a_comparison_that_failed_certifies_nothing(home: dict[str, str]) -> None:
    failed = receipt(passed=False)
    assert failed.problems[0].startswith("crowd: mean difference 1.0")
    write(failed, home)
    assert certified(home, **KEY) == ()


def test_slower_kernels_are_certified_for_nothing(home: dict[str, str]) -> None:
    slower = receipt(seconds=0.005)
    assert slower.problems == ["fused kernels are slower here: 0.80x"]
    write(slower, home)
    assert certified(home, **KEY) == ()


@pytest.mark.parametrize("text", ["", "{}", "{", "\xff"])
def test_a_damaged_receipt_is_passed_over(home: dict[str, str], text: str) -> None:
    good = write(receipt(), home)
    good.with_name("damaged.json").write_bytes(text.encode("latin-1"))
    assert certified(home, **KEY) == ("0.5.16",)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: dict[str, str]) -> Any:
    """A host whose E2B weights are certified, and the folder that holds them."""
    monkeypatch.setattr(support, "MEASURED", frozenset({("0.5.16", "sm_90", "E2B")}))
    folder = tmp_path / "E2B"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    inventory = simulate("H200", 1, load())
    from gemma4ctl.certifying.weights import weights_hash

    key = {
        "weights": weights_hash(folder),
        "gpu": inventory.devices[0].name,
        "driver": inventory.host.driver_version or "",
        "module": __version__,
    }
    write(receipt(**key), home)
    return folder, inventory


def test_lookup_finds_the_receipt(host: Any, home: dict[str, str]) -> None:
    folder, inventory = host
    assert lookup.certified_releases(str(folder), "E2B", inventory, home) == ("0.5.16",)


def test_lookup_finds_nothing_elsewhere(
    host: Any, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, inventory = host
    look = lookup.certified_releases
    assert look(None, "E2B", inventory, home) == ()
    assert look("google/gemma-4-E2B-it", "E2B", inventory, home) == ()
    assert look(str(folder), "E4B", inventory, home) == ()
    assert look(str(folder), "E2B", Inventory(), home) == ()
    assert look(str(folder.parent), "E2B", inventory, home) == ()
    monkeypatch.setattr(support, "MEASURED", frozenset())
    assert look(str(folder), "E2B", inventory, home) == ()
