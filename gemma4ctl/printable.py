"""Text from elsewhere, made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` with everything escaped that a terminal would not show, but line ends.

    What files, servers and their answers hold could otherwise move the cursor and hide itself.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)
