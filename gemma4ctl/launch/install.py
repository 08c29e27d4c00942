"""Find the installed SGLang and the versions of the environment that owns it, importing nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "sglang",
    "torch",
    "transformers",
    "flashinfer-python",
    "sglang-kernel",
    "gemma4ctl",  # its model module, which SGLang imports
)

_VERSIONS = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class SGLangInstall:
    """An ``sglang`` command; ``versions`` is empty where its interpreter could not be asked."""

    executable: Path
    python: str | None
    versions: dict[str, str]

    @property
    def release(self) -> str | None:
        """The version of SGLang without local and development parts: "0.5.16"."""
        match = re.match(r"\d+(?:\.\d+)*(?:\.post\d+)?", self.versions.get("sglang", ""))
        return match[0] if match else None


def find_sglang(environment: Mapping[str, str]) -> SGLangInstall | None:
    """The ``sglang`` on ``PATH``, else the one beside this interpreter; None when there is none.

    The interpreter named in its first line is run once to read package metadata, so a virtual
    environment other than this one, and ``PYTHONPATH``, are seen as SGLang will see them.
    """
    found = shutil.which("sglang", path=environment.get("PATH", "")) or shutil.which(
        "sglang", path=str(Path(sys.executable).parent)
    )
    if found is None:
        return None
    python = interpreter_of(Path(found), environment)
    versions = package_versions(python, PACKAGES, environment) if python else {}
    return SGLangInstall(Path(found), python, versions)


def interpreter_of(script: Path, environment: Mapping[str, str]) -> str | None:
    """The Python that runs ``script``; None when its first lines do not tell.

    Understood are ``#!/path/python``, ``#!/usr/bin/env python3``, and the ``exec`` line that
    installers write when the path is long or has spaces.
    """
    try:
        with script.open("rb") as file:
            head = file.read(4096).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    if not head or not head[0].startswith("#!"):
        return None
    words = head[0][2:].split()
    if Path(words[0]).name == "env" and len(words) > 1:
        return shutil.which(words[-1], path=environment.get("PATH", ""))
    if Path(words[0]).name == "sh" and len(head) > 1:
        match = re.match(r"'''exec' (?:\"([^\"]+)\"|(\S+)) ", head[1])
        return (match[1] or match[2]) if match else None
    return words[0] if "python" in Path(words[0]).name else None


def package_versions(
    python: str, names: Iterable[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Which of the packages ``names`` the interpreter ``python`` has; none if it does not run."""
    try:
        answer = subprocess.run(
            [python, "-c", _VERSIONS, *names],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=True,
        )
        return {str(name): str(version) for name, version in json.loads(answer.stdout).items()}
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
