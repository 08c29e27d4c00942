"""Pictures are what their rows say, and other programs read them."""

from __future__ import annotations

import struct
import zlib

import pytest

from gemma4ctl.png import png

ROWS = b"\0" + bytes((1, 2, 3, 4, 5, 6)) + b"\0" + bytes((7, 8, 9, 10, 11, 12))


def chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks by kind, their checksums verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        assert checksum == zlib.crc32(kind + content)
        found[kind] = content
        at += 12 + length
    return found


@pytest.mark.parametrize("level", [1, 9])
def test_the_rows_come_back(level: int) -> None:
    found = chunks(png(2, 2, ROWS, level=level))
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", found[b"IHDR"]) == (2, 2, 8, 2, 0, 0, 0)
    assert zlib.decompress(found[b"IDAT"]) == ROWS


def test_it_may_say_what_made_it() -> None:
    found = chunks(png(2, 2, ROWS, level=1, software="gemma4ctl"))
    assert found[b"tEXt"] == b"Software\0gemma4ctl"
