"""Everything detection reads from the machine, in one replaceable object.

Detection never touches the file system, a command or a vendor library except through
:class:`Access`, so each path runs in tests against a recorded host.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_TIMEOUT_S = 20
_TOOL_FOLDERS = ("/opt/rocm/bin", "/usr/lib/wsl/lib")


@dataclass(frozen=True)
class Completed:
    """What a command left behind; ``stdout`` may be useful even when it failed."""

    status: int
    stdout: str
    stderr: str = ""

    @property
    def text(self) -> str:
        """Standard output and error together: tools disagree on where they complain."""
        return f"{self.stdout}\n{self.stderr}"


def run_command(argv: Sequence[str]) -> Completed | None:
    """Run ``argv`` with a time limit; None when it is not installed, hangs or cannot start."""
    folders = [os.environ.get("PATH", os.defpath), *_TOOL_FOLDERS]
    environ = {**os.environ, "LC_ALL": "C", "PATH": os.pathsep.join(folders)}
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            check=False,
            encoding="utf-8",
            env=environ,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Completed(done.returncode, done.stdout, done.stderr)


def load_library(name: str, folder: Path | None = None) -> Any:
    """Import a vendor's Python binding, ``folder`` first; raises whatever the import raises."""
    import importlib

    if folder is None or not folder.is_dir():
        return importlib.import_module(name)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send standard output to nowhere, also what C code writes to file descriptor 1."""
    if sys.stdout is not None:  # as it is when descriptor 1 is closed
        sys.stdout.flush()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a path
        try:
            saved = os.dup(1)
        except OSError:  # descriptor 1 is closed: C code cannot write to it either
            saved = None
        try:
            if saved is not None:
                os.dup2(nowhere.fileno(), 1)
            with contextlib.redirect_stdout(nowhere):
                yield
        finally:
            if saved is not None:
                os.dup2(saved, 1)
                os.close(saved)


def package_version(name: str) -> str | None:
    """The installed version of a Python distribution, from its metadata; None when absent."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Access:
    """The machine as detection sees it. The defaults are the real one.

    Attributes:
        root: the folder that stands for ``/``.
        run: runs a command, see :func:`run_command`.
        load: imports a vendor library, see :func:`load_library`.
        package_version: see :func:`package_version`.
        machine: the CPU architecture, ``x86_64`` or ``aarch64``.
    """

    root: Path = Path("/")
    run: Callable[[Sequence[str]], Completed | None] = run_command
    load: Callable[..., Any] = load_library
    package_version: Callable[[str], str | None] = package_version
    machine: str = platform.machine()

    def path(self, absolute: str) -> Path:
        """The path ``absolute`` of the machine, under ``root``."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str | Path) -> str | None:
        """The text of a file without surrounding white space; None when it cannot be read."""
        path = self.path(absolute) if isinstance(absolute, str) else absolute
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None
