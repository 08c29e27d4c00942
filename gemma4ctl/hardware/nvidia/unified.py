"""NVIDIA parts without memory of their own: the GPU works in the host's RAM.

Their driver answers "not supported" when asked for memory (GB10 with driver 580), or gives the
system's RAM. Only the parts named here are believed: on any other GPU an answer of "not
supported" leaves the memory unknown, because a lost GPU or a driver mismatch says the same.
"""

from __future__ import annotations

import re
from typing import Any

from gemma4ctl.hardware.inventory import Host

_INTEGRATED = re.compile(r"\b(GB10|Thor|Orin|Tegra)\b", re.IGNORECASE)


def is_integrated(name: str) -> bool:
    """Whether the GPU called ``name`` is known to share the host's RAM."""
    return _INTEGRATED.search(name) is not None


def memory_fields(host: Host) -> dict[str, Any]:
    """Fields of :class:`~gemma4ctl.hardware.inventory.Device` for a GPU that works in RAM.

    Free memory is what the kernel could give, because file cache gives way to allocations.
    """
    source = host.sources.get("ram_total_mib", "/proc/meminfo")
    return {
        "memory_total_mib": host.ram_total_mib,
        "memory_free_mib": host.ram_available_mib,
        "unified_memory": True,
        "sources": {"memory_total_mib": source, "memory_free_mib": source},
    }
