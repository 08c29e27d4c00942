"""PNG files out of rows of pixels, without an image library."""

from __future__ import annotations

import struct
import zlib


def png(width: int, height: int, rows: bytes, *, level: int, software: str | None = None) -> bytes:
    """A picture of ``width`` x ``height`` pixels, RGB with 8 bits a colour.

    Args:
        rows: of each row its filter (0: none) and its ``3 * width`` bytes, the topmost first.
        level: of compression, 1 to 9.
        software: what the file says that it was made with.
    """
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, level)), (b"IEND", b"")]
    if software is not None:
        chunks.insert(1, (b"tEXt", b"Software\0" + software.encode("latin-1")))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
