"""The bits in which NVIDIA's driver says why a GPU runs slower than it could."""

from __future__ import annotations

_BAD_SIGNS = {
    0x20: "slowed down by temperature (software)",
    0x40: "slowed down by temperature (hardware)",
    0x80: "slowed down by the power brake",
}


def throttling(bits: int) -> list[str]:
    """Sentences for the bits that mean trouble; idle clocks and power caps do not."""
    return [sentence for bit, sentence in _BAD_SIGNS.items() if bits & bit]
