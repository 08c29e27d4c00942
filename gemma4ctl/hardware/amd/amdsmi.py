"""AMD GPUs through the ``amdsmi`` library: ROCm's own Python package first, then PyPI's.

Importing it on a host without ``libamd_smi.so`` prints to standard output and raises KeyError,
and its C code prints too, so all of it runs with standard output closed off, and any exception
means "this source does not answer".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gemma4ctl.hardware.access import Access, quiet_stdout
from gemma4ctl.hardware.amd.assemble import Answer, Gpu
from gemma4ctl.hardware.amd.json_output import inner
from gemma4ctl.hardware.inventory import Health, Process
from gemma4ctl.hardware.values import (
    degraded,
    known,
    mib_from_bytes,
    mib_from_quantity,
    pci_address,
    whole,
)

SOURCE = "amdsmi"
_ROCM_PACKAGE = "/opt/rocm/share/amd_smi"
_XGMI = 2  # AMDSMI_LINK_TYPE_XGMI, and AMDSMI_IOLINK_TYPE_XGMI before ROCm 7


def read(access: Access) -> Answer:
    """Every GPU that the library lists; none when it cannot be loaded or finds no driver."""
    with quiet_stdout():
        try:
            library = access.load("amdsmi", access.path(_ROCM_PACKAGE))
            library.amdsmi_init()
        except Exception:  # KeyError, OSError, AmdSmiException: there is no common base
            return Answer("amdsmi", SOURCE)
        try:
            return _answer(library)
        finally:
            _ask(library, "amdsmi_shut_down")


def _ask(library: Any, function: str, *arguments: Any) -> Any:
    """The answer of a library function; None where it is missing or fails."""
    call: Callable[..., Any] | None = getattr(library, function, None)
    try:
        return call(*arguments) if call else None
    except Exception:  # see read()
        return None


def _field(library: Any, function: str, handle: Any, name: str) -> Any:
    return inner(_ask(library, function, handle), name)


def _answer(library: Any) -> Answer:
    handles = list(_ask(library, "amdsmi_get_processor_handles") or ())
    links = tuple(
        (a, b)
        for a, first in enumerate(handles)
        for b, second in enumerate(handles)
        if a < b and _is_xgmi(_ask(library, "amdsmi_topo_get_link_type", first, second))
    )
    driver = next(
        (
            version
            for handle in handles
            if (
                version := known(
                    _field(library, "amdsmi_get_gpu_driver_info", handle, "driver_version")
                )
            )
        ),
        None,
    )
    return Answer(
        "amdsmi",
        SOURCE,
        tuple(_gpu(library, handle) for handle in handles),
        links,
        {"driver_version": driver} if driver else {},
    )


def _is_xgmi(answer: Any) -> bool:
    kind = inner(answer, "type")
    return whole(getattr(kind, "value", kind)) == _XGMI


def _gpu(library: Any, handle: Any) -> Gpu:
    asic = _ask(library, "amdsmi_get_gpu_asic_info", handle)
    usage = _ask(library, "amdsmi_get_gpu_vram_usage", handle)
    size = _field(library, "amdsmi_get_gpu_vram_info", handle, "vram_size")
    compute = known(_ask(library, "amdsmi_get_gpu_compute_partition", handle))
    profile = _field(
        library, "amdsmi_get_gpu_accelerator_partition_profile", handle, "partition_profile"
    )
    return Gpu(
        name=known(inner(asic, "market_name")),
        device_id=whole(inner(asic, "device_id")),
        architecture=graphics_version(inner(asic, "target_graphics_version")),
        unique_id=whole(inner(asic, "asic_serial")) or None,
        address=pci_address(_ask(library, "amdsmi_get_gpu_device_bdf", handle)),
        node=whole(_field(library, "amdsmi_get_gpu_kfd_info", handle, "node_id")),
        total_mib=mib_from_quantity(inner(usage, "vram_total")) or mib_from_quantity(size),
        used_mib=mib_from_quantity(inner(usage, "vram_used")),
        compute_partition=compute or known(inner(profile, "profile_type")),
        memory_partition=known(_ask(library, "amdsmi_get_gpu_memory_partition", handle)),
        processes=_processes(_ask(library, "amdsmi_get_gpu_process_list", handle)),
        health=_health(library, handle),
    )


def graphics_version(text: object) -> str | None:
    """``gfx942`` from what a tool wrote; None for "gfx0" and other empty answers."""
    value = (known(text) or "").lower()
    digits = value.removeprefix("gfx")
    ok = value.startswith("gfx") and 3 <= len(digits) <= 5 and digits.isalnum()
    return value if ok and digits.isascii() and digits[0] != "0" else None


def _processes(entries: Any) -> tuple[Process, ...]:
    found = []
    for entry in entries if isinstance(entries, list) else ():
        pid = whole(inner(entry, "pid"))
        held = mib_from_bytes(inner(entry, "memory_usage", "vram_mem"))
        if pid is not None and held:
            found.append(Process(pid=pid, name=known(inner(entry, "name")), memory_mib=held))
    return tuple(found)


def _health(library: Any, handle: Any) -> Health:
    count = whole(_field(library, "amdsmi_get_gpu_total_ecc_count", handle, "uncorrectable_count"))
    if count is None:
        return Health(status="unknown", reasons=("error counters cannot be read",))
    return degraded([f"{count} uncorrected ECC error(s)"] if count else [])
