"""Ask a server whether it is healthy."""

from __future__ import annotations

import http.client
import ssl
import threading
from urllib.parse import urlsplit


def healthy(url: str, *, api_key: str | None = None, timeout_s: float = 25.0) -> bool:
    """Whether ``GET /health`` of the server at ``url`` answers 200. Any failure is False.

    SGLang answers 503 while it starts or stops; otherwise it generates a token first, which takes
    a second or more. Proxy settings are not used; a TLS certificate is not verified, since the
    address is this machine's own.
    """
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        connection.request("GET", "/health", headers=headers)
        return connection.getresponse().status == http.client.OK
    except (OSError, ValueError, http.client.HTTPException):  # ValueError: a key no header holds
        return False
    finally:
        connection.close()


class HealthWatch:
    """Probes a server in the background until it is healthy once; see :attr:`passed`."""

    def __init__(
        self, url: str, *, api_key: str | None, interval_s: float, timeout_s: float
    ) -> None:
        self.passed = threading.Event()
        self._stop = threading.Event()
        self._url, self._api_key = url, api_key
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._thread = threading.Thread(target=self._probe, name="health", daemon=True)

    def start(self) -> None:
        """Begin probing."""
        self._thread.start()

    def stop(self) -> None:
        """Probe no more; a probe under way ends by itself."""
        self._stop.set()

    def _probe(self) -> None:
        while not self._stop.is_set():
            if healthy(self._url, api_key=self._api_key, timeout_s=self._timeout_s):
                self.passed.set()
                return
            self._stop.wait(self._interval_s)
