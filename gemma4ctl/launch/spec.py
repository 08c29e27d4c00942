"""What to launch: the input of :func:`gemma4ctl.launch.supervise.serve`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from gemma4ctl.model import Model

QUIET_LOG_LEVELS = ("warning", "error", "critical")


class Timing(Model):
    """How often and how long the supervisor waits, in seconds."""

    poll_s: float = 0.2
    probe_interval_s: float = 1.0
    probe_timeout_s: float = 25.0  # /health generates a token and waits for it up to 20 s
    reap_s: float = 10.0  # for processes that were killed to disappear


class LaunchSpec(Model):
    """One server to launch.

    ``argv[0]`` is an executable (see :func:`gemma4ctl.launch.install.find_sglang`) or ``docker``.
    ``env`` is added to the environment of this process. ``host`` is the address the server binds;
    a wildcard is probed on the loopback. ``secrets`` are replaced by ``***`` in everything that is
    written, as the API key is. ``container_name`` names the container of a ``docker run`` argv.
    ``predicted_full_layer_tokens`` is what the plan expects of the KV pool; ``fused``,
    ``shared_kv`` and ``prefill_graphs``: that it switched these parts of the model module on.
    Without ``log_path`` the log gets a new file under ``$XDG_STATE_HOME/gemma4ctl/logs``.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    host: str = "127.0.0.1"
    port: int = 30000
    scheme: Literal["http", "https"] = "http"
    log_path: Path | None = None
    ready_timeout_s: float = 1800.0
    grace_s: float = 60.0
    api_key: SecretStr | None = None
    secrets: tuple[SecretStr, ...] = ()
    predicted_full_layer_tokens: int | None = None
    fused: bool = False
    shared_kv: bool = False
    prefill_graphs: bool = False
    container_name: str | None = None
    release: str | None = None
    timing: Timing = Timing()

    @property
    def url(self) -> str:
        """The base address that a client on this machine uses."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def logs_readiness(self) -> bool:
        """Whether the server's log will say when it is ready (not with ``--log-level error``)."""
        words = [word for item in self.argv for word in item.split("=", 1)]
        levels = [level for flag, level in pairwise(words) if flag == "--log-level"]
        return not levels or levels[-1] not in QUIET_LOG_LEVELS
