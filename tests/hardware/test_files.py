from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.hardware.files import MAX_BYTES, read_inventory
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.hardware.simulate import simulate

from .profiles import PROFILES


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "hardware file ü.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_inventory(path)
    assert str(path) in str(caught.value) and caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    "host", ["h100-mig", "mi300x-cpx-nps4", "lost", "gb10", "mixed-nvidia", "empty", "broken"]
)
def test_what_detect_wrote_comes_back(
    detected: Callable[..., Inventory], tmp_path: Path, host: str
) -> None:
    inventory = detected(host)
    again = read_inventory(written(tmp_path, inventory.model_dump_json()))
    assert again == inventory.model_copy(update={"source": "file"})


@pytest.mark.parametrize("keys", [("hardware",), ("inventory",), ("hardware", "inventory")])
def test_a_report_that_holds_an_inventory(tmp_path: Path, keys: tuple[str, ...]) -> None:
    inventory = simulate("H200", 2, PROFILES)
    content: Any = inventory.model_dump(mode="json")
    for key in reversed(keys):
        content = {"report": 1, key: content}
    assert read_inventory(written(tmp_path, content)).devices == inventory.devices


def test_a_byte_order_mark_is_no_trouble(tmp_path: Path) -> None:
    assert read_inventory(written(tmp_path, b'\xef\xbb\xbf{"devices": []}')).source == "file"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ('{"devices": [}', "line 1 column 14"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        ("[1]", "no object with a list of devices"),
        ({"hardware": {"platform": "H200"}}, "no object with a list of devices"),
        ({"devices": {}}, "devices: "),
        ({"devices": [{}]}, "devices.0.index"),
        ({"devices": [], "schema_version": 2}, "schema_version"),
        ({"devices": [], "extra": 1}, "extra"),
        ({"devices": [{"index": "x"}] * 4}, "more"),
        ("[" * 100_000, "not usable JSON"),
        ('{"devices": ' + "9" * 5000 + "}", "not usable JSON"),
    ],
)
def test_bad_content(tmp_path: Path, content: Any, words: str) -> None:
    assert words in refused(written(tmp_path, content))


def changed(field: str, value: Any, position: int = 0) -> dict[str, Any]:
    content = simulate("H200", 2, PROFILES).model_dump(mode="json")
    content["devices"][position][field] = value
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed("index", 1), "same index"),
        (changed("memory_total_mib", -1), "devices.0: negative memory"),
        (changed("memory_free_mib", 999_999, 1), "devices.1.memory_free_mib: 999999 is more"),
        (changed("slices", [{"uuid": "MIG-1"}, {"uuid": "MIG-1"}]), "same uuid"),
        (changed("slices", [{"uuid": "M", "memory_free_mib": -5}]), "slices.0: negative"),
        (changed("index", 7), "links.0"),
    ],
)
def test_contradictions(tmp_path: Path, content: Any, words: str) -> None:
    assert words in refused(written(tmp_path, content))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "missing.json")
    assert "directory" in refused(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_inventory(Path("nul\0byte"))


def test_too_large(tmp_path: Path) -> None:
    assert "too large" in refused(written(tmp_path, b" " * (MAX_BYTES + 1)))
