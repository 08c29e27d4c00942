"""Server-sent events out of a stream of bytes, however they were cut into packets."""

from __future__ import annotations

LARGEST_EVENT = 8 << 20  # bytes; a stream that never ends an event must not fill the memory


class OversizedEventError(ValueError):
    """An event is larger than any answer."""


class EventSplitter:
    """Gives the data of each whole event; keeps the bytes of an unfinished one.

    Bytes are never decoded here, so a character cut in two is whole again in its event.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[bytes]:
        """The data of the events that ``received`` completes; comments have none and are left out.

        Raises:
            OversizedEventError: an event is larger than ``LARGEST_EVENT``.
        """
        pending = self._rest + received if self._rest else received
        if b"\r" in pending:
            pending = _plain_lines(pending)
        *events, self._rest = pending.split(b"\n\n")
        if len(self._rest) > LARGEST_EVENT:
            raise OversizedEventError(f"an event of more than {LARGEST_EVENT >> 20} MiB")
        return [data for event in events if (data := _data(event)) is not None]


def _plain_lines(text: bytes) -> bytes:
    r"""``text`` with ``\n`` as the only line end; a ``\r`` at the end may be half of one."""
    held = text[-1:] == b"\r"
    body = text[:-1] if held else text
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + (b"\r" if held else b"")


def _data(event: bytes) -> bytes | None:
    """The data of one event: its ``data:`` lines, joined; None without any."""
    event = event.lstrip(b"\n")
    if event.startswith(b"data:") and b"\n" not in event:  # as nearly all are
        return event[5:].removeprefix(b" ")
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line[:5] == b"data:"]
    return b"\n".join(lines) if lines else None
