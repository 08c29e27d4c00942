"""Read a server's output as it comes: to the log file, the parser, and the status."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import IO, TextIO

from gemma4ctl.launch.lines import Line, LineSplitter
from gemma4ctl.launch.logs import LogParser
from gemma4ctl.launch.redact import Redactor, plain
from gemma4ctl.launch.status import StatusSink

KEPT_LINES = 2000
_CHUNK = 64 * 1024


class ServerOutput:
    """A thread that reads ``pipe`` to its end and never stops before: a full pipe stops a server.

    ``tail`` holds the last lines, redacted. The parser sees lines before redaction, so that a
    secret that happens to be a common word does not hide them; it keeps figures, never text.
    """

    def __init__(self, pipe: IO[bytes], log: TextIO, redact: Redactor, sink: StatusSink) -> None:
        self.parser = LogParser()
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)
        self.ready = threading.Event()
        self.hopeless = threading.Event()
        self._pipe, self._redact, self._sink = pipe, redact, sink
        self._log: TextIO | None = log
        self._thread = threading.Thread(target=self._read, name="server-output", daemon=True)

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Wait until everything was read; a process that keeps the pipe open is not waited for."""
        self._thread.join(timeout_s)

    def _read(self) -> None:
        splitter = LineSplitter()
        with self._pipe as pipe:
            while chunk := pipe.read(_CHUNK):
                self._take(splitter.feed(chunk))
        self._take(splitter.end())

    def _take(self, lines: list[Line]) -> None:
        for line in lines:
            for event in self.parser.feed(line.text, at=time.monotonic()):
                self._sink.event(event)
        texts = [self._clean(line) for line in lines]
        self.tail.extend(texts)
        self._write(texts)
        if self.parser.ready:
            self.ready.set()
        if self.parser.hopeless:
            self.hopeless.set()

    def _clean(self, line: Line) -> str:
        text = self._redact(plain(line.text))
        if not line.cut:
            return text
        return f"{text[: len(text) - self._redact.longest]} ... [line cut]"

    def _write(self, texts: list[str]) -> None:
        """Add lines to the log; when that fails (disk full), say so once and go on without it."""
        if self._log is None or not texts:
            return
        try:
            self._log.write("\n".join([*texts, ""]))
            self._log.flush()
        except (OSError, ValueError) as error:
            self._log = None
            self._sink.say(f"warning: the server log stops here: {error}")
