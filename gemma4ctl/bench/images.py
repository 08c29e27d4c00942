"""Pictures to send: PNG files made here, each different from all others."""

from __future__ import annotations

import random
from base64 import b64encode

from gemma4ctl.png import png as encoded

BLOCK = 16  # pixels: the side of a square of one colour
AS_ABOVE = 2  # PNG's row filter "Up": the row is given as its difference to the one above


def picture(width: int, height: int, colours: random.Random) -> str:
    """A picture of ``width`` x ``height`` pixels of random squares, as a data URL."""
    return f"data:image/png;base64,{b64encode(png(width, height, colours)).decode('ascii')}"


def png(width: int, height: int, colours: random.Random) -> bytes:
    """A PNG file, RGB with 8 bits a colour, of squares drawn from ``colours``."""
    return encoded(width, height, _rows(width, height, colours), level=1)


def _rows(width: int, height: int, colours: random.Random) -> bytes:
    """The rows with their filters: a new row of squares, then rows equal to the one above."""
    same = bytes([AS_ABOVE]) + bytes(3 * width)
    rows = bytearray()
    for top in range(0, height, BLOCK):
        squares = [colours.randbytes(3) * BLOCK for _ in range(0, width, BLOCK)]
        rows += b"\0" + b"".join(squares)[: 3 * width]
        rows += same * (min(BLOCK, height - top) - 1)
    return bytes(rows)
