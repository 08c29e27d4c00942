"""Choose where the server runs: in the local Python environment, or in a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from packaging.version import InvalidVersion, Version

from gemma4ctl.errors import PreflightError
from gemma4ctl.launch.container import daemon_info, daemon_remedy
from gemma4ctl.launch.install import SGLangInstall, find_sglang

Runtime = Literal["local", "docker"]


class RuntimeChoice(NamedTuple):
    """The runtime, why, and the local installation when that is what runs."""

    runtime: Runtime
    reason: str
    install: SGLangInstall | None


def choose_runtime(
    asked: Literal["auto", "local", "docker"],
    environment: Mapping[str, str],
    *,
    min_release: str,
    find: Callable[[Mapping[str, str]], SGLangInstall | None] = find_sglang,
    docker_info: Callable[[], dict[str, Any] | str] = daemon_info,
) -> RuntimeChoice:
    """Local when an SGLang that serves the model is installed, else docker when its daemon answers.

    Args:
        asked: what the user wants; "local" and "docker" are taken without a second choice.
        environment: of the process to start.
        min_release: the first SGLang release that serves the model as planned.

    Raises:
        PreflightError: neither is there; the message says how to get each.
    """
    install = None if asked == "docker" else find(environment)
    if asked == "local":
        return RuntimeChoice("local", "asked for", install)
    if asked == "docker":
        return RuntimeChoice("docker", "asked for", None)
    unfit = why_unfit(install, min_release)
    if unfit is None:
        assert install is not None  # it fits
        return RuntimeChoice("local", f"SGLang {install.release or ''} is installed", install)
    info = docker_info()
    if isinstance(info, dict):
        return RuntimeChoice("docker", f"{unfit}, and docker is there", None)
    raise PreflightError(
        "nothing here can run SGLang",
        needed=f"SGLang {min_release} or newer, or docker",
        found=f"{unfit}; {info}",
        remedies=[
            f"pip install 'sglang>={min_release}' (in a new virtual environment)",
            daemon_remedy(info),
        ],
        code="no-runtime",
    )


def why_unfit(install: SGLangInstall | None, min_release: str) -> str | None:
    """Why ``install`` cannot serve a model that needs ``min_release``; None when it can.

    An installation whose version cannot be read is taken to fit: preflight warns about it.
    """
    if install is None:
        return "SGLang is not installed"
    if install.release and older(install.release, min_release):
        return f"the installed SGLang {install.release} is older than {min_release}"
    return None


def older(version: str, than: str) -> bool:
    """Whether ``version`` is older than ``than``; a version that cannot be read is not."""
    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return False
