"""Where an endpoint is, and the key it wants."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gemma4ctl.errors import UsageError
from gemma4ctl.secrets import find_api_key

VARIABLE = "GEMMA4CTL_URL"
DEFAULT_URL = "http://127.0.0.1:30000"


@dataclass(frozen=True)
class Endpoint:
    """A server: ``url`` without a slash or ``/v1`` at its end, and the key it is asked with."""

    url: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def openai_url(self) -> str:
        """The base URL of the OpenAI API."""
        return f"{self.url}/v1"

    @property
    def is_local(self) -> bool:
        """Whether it is on the loopback, where no proxy leads."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def endpoint(
    url: str | None = None,
    api_key_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Endpoint:
    """The endpoint to use: ``url``, else ``GEMMA4CTL_URL``, else this machine's port 30000.

    The key comes from ``api_key_file``, else from ``GEMMA4CTL_API_KEY``.

    Raises:
        UsageError: the URL is none that can be asked, or the key cannot be read.
    """
    key = find_api_key(environment, str(api_key_file) if api_key_file else None)
    address = url or environment.get(VARIABLE) or DEFAULT_URL
    return Endpoint(_base(address), key.get_secret_value() if key else None)


def _base(url: str) -> str:
    """``url`` as scheme, host and path, without what the API adds."""
    if "@" in url:
        raise UsageError(
            "the URL holds a user name or password, which others can read",
            needed="a key from GEMMA4CTL_API_KEY or --api-key-file",
            code="url-with-secret",
        )
    parts = _parts(url)
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        usable = usable and url.isascii() and url.isprintable() and " " not in url
    except ValueError:  # an unclosed bracket, a port that is no number
        usable = False
    if not usable or parts.query or parts.fragment:
        raise UsageError(
            f"{url!r} is no URL of an endpoint",
            needed=f"http:// or https://, a host and a port, such as {DEFAULT_URL}",
            code="bad-url",
        )
    return parts
