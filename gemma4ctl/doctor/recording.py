"""An access to the machine that keeps what detection read, so that a report can replay it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gemma4ctl.hardware.access import COMMAND_TIMEOUT_S, Access, Completed

_KERNEL_LOG = "dmesg"
_KERNEL_LOG_WORDS = ("NVRM", "amdgpu")
_PCI = "/sys/bus/pci/devices"
_ACCELERATOR_CLASSES = ("0x03", "0x12")  # displays, 3D controllers and processing accelerators
_NO_ANSWER = Completed(124, "", f"no answer within {COMMAND_TIMEOUT_S} s")


@dataclass(frozen=True)
class Recording(Access):
    """An :class:`Access` that runs each command once and keeps every answer.

    ``commands`` maps a command line to its answer, None where it is not installed; ``files`` maps
    absolute paths to texts. A command that did not answer in time is not asked anything again.
    """

    commands: dict[str, Completed | None] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def read(self, absolute: str | Path) -> str | None:
        """See :meth:`Access.read`."""
        text = super().read(absolute)
        if text is not None:
            path = Path(absolute)
            inside = path.relative_to(self.root) if path.is_relative_to(self.root) else path
            self.files[f"/{str(inside).lstrip('/')}"] = text
        return text


def recording(access: Access) -> Recording:
    """``access``, with a memory."""
    commands: dict[str, Completed | None] = {}

    def run(argv: Sequence[str]) -> Completed | None:
        line = " ".join(argv)
        if line not in commands:
            commands[line] = None if _hangs(argv[0], commands) else _timed(access, argv)
        answer = commands[line]
        return None if answer is _NO_ANSWER else answer

    return Recording(
        root=access.root,
        run=run,
        load=access.load,
        package_version=access.package_version,
        machine=access.machine,
        commands=commands,
    )


def _hangs(tool: str, commands: Mapping[str, Completed | None]) -> bool:
    return any(
        answer is _NO_ANSWER and line.split()[0] == tool for line, answer in commands.items()
    )


def _timed(access: Access, argv: Sequence[str]) -> Completed | None:
    """The answer of a command; :data:`_NO_ANSWER` when it took all the time it had."""
    started = time.monotonic()
    answer = access.run(argv)
    late = time.monotonic() - started >= COMMAND_TIMEOUT_S
    if answer is None and late:
        return _NO_ANSWER
    if answer is not None and argv[0] == _KERNEL_LOG:
        return replace(answer, stdout=_about_gpus(answer.stdout))
    return answer


def _about_gpus(log: str) -> str:
    """The lines of the kernel log that the GPU drivers wrote; the rest is nobody's business."""
    lines = [line for line in log.splitlines() if any(word in line for word in _KERNEL_LOG_WORDS)]
    return "\n".join(lines)


def recorded_host(record: Recording, packages: Mapping[str, str]) -> dict[str, Any]:
    """What was recorded, in the layout of the recorded hosts that detection is tested with."""
    return {
        "kind": "captured",
        "machine": record.machine,
        "packages": dict(packages),
        "commands": {
            line: _answer(answer) for line, answer in list(record.commands.items()) if answer
        },
        "files": _wanted(dict(record.files)),
    }


def _answer(answer: Completed) -> str | dict[str, Any]:
    if answer.status == 0 and not answer.stderr:
        return answer.stdout
    return {"$status": answer.status, "stdout": answer.stdout, "stderr": answer.stderr}


def _wanted(files: Mapping[str, str]) -> dict[str, str]:
    """``files`` without PCI devices that cannot be a GPU."""
    return {
        path: text
        for path, text in sorted(files.items())
        if not path.startswith(_PCI)
        or files.get(f"{Path(path).parent}/class", "").startswith(_ACCELERATOR_CLASSES)
    }
