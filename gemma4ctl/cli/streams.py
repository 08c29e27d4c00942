"""Standard streams whose reader may leave, as in ``gemma4ctl check . | head``.

What nobody reads any more is dropped, and the command goes on: its work and its exit status do not
depend on who looks.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Unread(io.FileIO):
    """A file that takes what its reader no longer does."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write ``data``, if somebody reads it; the number of bytes that are done with."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def unread(stream: TextIO) -> TextIO:
    """``stream`` of this process in such a file; one that is replaced or closed as it is."""
    if not isinstance(stream, io.TextIOWrapper) or stream not in (sys.__stdout__, sys.__stderr__):
        return stream
    file = Unread(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        file if stream.write_through else io.BufferedWriter(file),  # PYTHONUNBUFFERED: no buffer
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
