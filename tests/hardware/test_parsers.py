"""Random input: a parser may find nothing, but it never fails and never makes up memory."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.hardware.access import Access, Completed
from gemma4ctl.hardware.amd import amd_smi, assemble, json_output, kfd, rocm_smi
from gemma4ctl.hardware.amd.amdsmi import graphics_version
from gemma4ctl.hardware.inventory import Device, Host
from gemma4ctl.hardware.nvidia import nvidia_smi
from gemma4ctl.hardware.values import (
    known,
    mib_from_bytes,
    mib_from_quantity,
    pci_address,
    whole,
)

from .recorded import recorded

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["N/A", "[N/A]", "196592 MB", "0x74a1", "gfx942", "card0", "GPU is lost"]),
)
KEYS = """gpu gpu_data asic market_name vram size value unit mem_usage total_vram used_vram bus bdf
partition node_id links link_type process_list process_info memory_usage vram_mem pid ecc card0
card1 system"""
keys = st.sampled_from(
    [*KEYS.split(), "VRAM Total Memory (B)", "VRAM Total Used Memory (B)", "Unique ID"]
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=25,
)


def numbers_in(value: Any) -> set[int]:
    """Every whole number that is written anywhere in ``value``."""
    text = json.dumps(value, default=str)
    found = {int(digits) for digits in re.findall(r"\d+", text)}
    return found | {int(digits, 16) for digits in re.findall(r"0[xX]([0-9a-fA-F]+)", text)}


def check(devices: tuple[Device, ...], given_input: Any) -> None:
    """Memory is absent, or a number of the input in one of the units tools use."""
    written = numbers_in(given_input)
    possible = {n * size // (1 << 20) for n in written for size in (1, 1 << 10, 1 << 20, 1 << 30)}
    for device in devices:
        total, free = device.memory_total_mib, device.memory_free_mib
        assert total is None or (total > 0 and total in possible)
        assert free is None or (total is not None and 0 <= free <= total)
        assert (total is None) == (device.health.status in ("lost", "unreadable"))


@given(
    st.dictionaries(st.sampled_from(["list", "static", "metric", "process", "topology"]), values)
)
def test_amd_smi(answers: dict[str, Any]) -> None:
    check(assemble.reading(amd_smi.parse(answers), ()).devices, answers)


@given(values)
def test_rocm_smi(value: Any) -> None:
    check(assemble.reading(rocm_smi.parse(value), ()).devices, value)


@given(st.text(max_size=200))
def test_json_in_text(text: str) -> None:
    json_output.records(json_output.parse(text))


def test_json_after_warnings_and_too_deep() -> None:
    assert json_output.parse('WARNING [x]\n{"a": 1}') == {"a": 1}
    assert json_output.parse("[" * 200_000) is None
    assert json_output.parse("nothing") is None


cells = st.one_of(
    st.text(st.characters(exclude_characters=",\n\r"), max_size=10),
    st.integers(-5, 200_000).map(lambda n: f"{n} MiB"),
    st.sampled_from(["[N/A]", "[GPU is lost]", "[Unknown Error]", "NVIDIA GB10", "Enabled", "0"]),
)
HEADER = (
    "index, name, uuid, pci.bus_id, memory.total [MiB], memory.free [MiB], driver_version, "
    "compute_cap, mig.mode.current, ecc.errors.uncorrected.volatile.total, "
    "retired_pages.pending, clocks_event_reasons.active"
)


def nvidia_devices(text: str) -> tuple[Device, ...]:
    def run(argv: Any) -> Completed | None:
        return Completed(0, text)

    return nvidia_smi.read(Access(root=Path("/nowhere"), run=run), Host()).devices


@given(st.text(max_size=300))
def test_nvidia_smi_prints_anything(text: str) -> None:
    for device in nvidia_devices(text):
        assert device.memory_total_mib is None


@given(st.lists(st.lists(cells, min_size=11, max_size=13), max_size=4))
def test_nvidia_smi_rows_of_anything(rows: list[list[str]]) -> None:
    lines = [f"{n}, {', '.join(row)}" for n, row in enumerate(rows)]
    text = "\n".join([HEADER, *lines])
    written = numbers_in(text)
    for device in nvidia_devices(text):
        total, free = device.memory_total_mib, device.memory_free_mib
        assert total is None or total in written
        assert free is None or free in written
        assert device.architecture is None or re.fullmatch(r"sm_\d{2,3}", device.architecture)


@given(st.text(max_size=200))
def test_nvidia_smi_lists_and_matrices(text: str) -> None:
    assert nvidia_smi.parse_topology(text) == () or "NV" in text
    assert nvidia_smi.parse_list(text) == [] or "MIG" in text
    assert nvidia_smi.parse_lost(text) == {} or "GPU" in text


def test_lost_lines() -> None:
    text = (
        "Unable to determine the device handle for GPU 0008:02:00.0: GPU is lost. Reboot\n"
        "Unable to determine the device handle for GPU 3: 0000:BA:00.0: Unknown Error\n"
        "Unable to determine the device handle for GPU nonsense: Unknown Error\n"
    )
    assert list(nvidia_smi.parse_lost(text)) == ["0008:02:00.0", "0000:ba:00.0"]


@given(st.text(max_size=200))
def test_properties_of_anything(text: str) -> None:
    facts = kfd.parse_properties(text)
    assert all(str(value) in text or value in numbers_in(text) for value in facts.values())


PROPERTIES = """simd_count gfx_target_version location_id domain unique_id device_id heap_type
size_in_bytes type node_to"""
properties = st.dictionaries(
    st.sampled_from(PROPERTIES.split()),
    st.one_of(st.integers(0, 1 << 65), st.sampled_from([1, 2, 11, 90402, 41984])),
).map(lambda facts: "\n".join(f"{name} {value}" for name, value in facts.items()))


@given(st.lists(st.tuples(properties, properties, properties), max_size=3))
def test_sysfs_of_anything(nodes: list[tuple[str, str, str]]) -> None:
    with TemporaryDirectory() as folder:
        base = Path(folder) / kfd.NODES.lstrip("/")
        for number, (node, bank, link) in enumerate(nodes):
            for place, text in (("", node), ("mem_banks/0", bank), ("io_links/0", link)):
                (base / str(number) / place).mkdir(parents=True, exist_ok=True)
                (base / str(number) / place / "properties").write_text(text)
        for found in kfd.read(Access(root=Path(folder))):
            assert found.memory_mib is None or found.memory_mib < 1 << 30
            assert found.address is None or pci_address(found.address) == found.address


@given(scalars)
def test_small_readings(value: Any) -> None:
    for reading in (whole(value), mib_from_bytes(value), mib_from_quantity(value)):
        assert reading is None or (isinstance(reading, int) and reading >= 0)
    assert known(value) is None or known(value) == str(value).strip()
    assert graphics_version(value) is None or graphics_version(value) == "gfx942"


def test_readings_of_known_values() -> None:
    assert mib_from_quantity({"value": 196592, "unit": "MB"}) == 196592
    assert mib_from_quantity({"value": "N/A", "unit": "MB"}) is None
    assert mib_from_quantity("24 GiB") == 24 * 1024
    assert mib_from_quantity({"value": 1, "unit": "parsecs"}) is None
    assert mib_from_bytes(0xFFFFFFFFFFFFFFFF) is None
    assert [graphics_version(v) for v in ("gfx942", "gfx0", "gfx90a", "942", "N/A")] == [
        "gfx942",
        None,
        "gfx90a",
        None,
        None,
    ]
    assert pci_address("00000000:BA:00.0") == "0000:ba:00.0"
    assert pci_address("BA:00.0") == "0000:ba:00.0"
    assert pci_address("BA:00") is None


def test_nodes_are_read_from_a_recorded_tree(tmp_path: Path) -> None:
    from .recorded import access_to

    nodes = kfd.read(access_to(recorded("mi300x-sysfs"), tmp_path))
    assert [(node.number, node.architecture, node.xgmi) for node in nodes] == [
        (2, "gfx942", (3,)),
        (3, "gfx942", (2,)),
    ]


def test_a_report_with_a_lone_surrogate_is_no_report() -> None:
    assert nvidia_devices("<nvidia_smi_log>\ud800</nvidia_smi_log>") == ()
