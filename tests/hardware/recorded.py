"""Recorded hosts: one JSON file holds what a machine's commands, files and libraries answer.

``commands`` maps a command line to its standard output (text, or a value printed as JSON) or to
``{"$status": 1, "stdout": "...", "stderr": "..."}``; ``files`` maps absolute paths to texts;
``nvml`` and ``amdsmi`` hold the answers of the libraries, with ``{"$error": name}`` for an answer
that is an exception. What is not recorded is not there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

from gemma4ctl.hardware.access import Access, Completed

FIXTURES = Path(__file__).parent / "fixtures"


def recorded(name: str) -> dict[str, Any]:
    """The recorded host ``fixtures/<name>.json``."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def access_to(host: dict[str, Any], root: Path) -> Access:
    """An access to ``host``, whose files are laid out under ``root``."""
    for path, text in host.get("files", {}).items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{text}\n", encoding="utf-8")
    return Access(
        root=root,
        run=_runner(host.get("commands", {})),
        load=_loader(host),
        package_version=host.get("packages", {}).get,
        machine=host.get("machine", "x86_64"),
    )


def _runner(commands: dict[str, Any]) -> Callable[[Sequence[str]], Completed | None]:
    def run(argv: Sequence[str]) -> Completed | None:
        line = " ".join(argv)
        answer = commands.get(line, commands.get(argv[0]))
        if answer is None:
            return None
        if isinstance(answer, dict) and "$status" in answer:
            return Completed(answer["$status"], answer.get("stdout", ""), answer.get("stderr", ""))
        return Completed(0, answer if isinstance(answer, str) else json.dumps(answer))

    return run


def _loader(host: dict[str, Any]) -> Callable[..., Any]:
    def load(name: str, folder: Path | None = None) -> Any:
        if name == "pynvml" and "nvml" in host:
            return FakeNvml(host["nvml"])
        if name == "amdsmi" and "amdsmi" in host:
            return fake_amdsmi(host["amdsmi"])
        raise ModuleNotFoundError(name)

    return load


def _answer(value: Any) -> Any:
    """A recorded value, or the recorded exception."""
    if isinstance(value, dict) and "$error" in value:
        raise getattr(pynvml, value["$error"])()
    return value


class FakeNvml:
    """pynvml's functions over recorded answers; its constants and exceptions are the real ones.

    A handle is the record of its device. A question without a recorded answer is not supported.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.running = False

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvmlDeviceGet"):
            return getattr(pynvml, name)
        key = name.removeprefix("nvmlDeviceGet")
        return lambda handle, *_: _answer(handle.get(key, {"$error": "NVMLError_NotSupported"}))

    def nvmlInit(self) -> None:
        _answer(self.record.get("init"))
        self.running = True

    def nvmlShutdown(self) -> None:
        assert self.running
        self.running = False

    def nvmlDeviceGetCount(self) -> int:
        return len(self.record["devices"])

    def nvmlSystemGetDriverVersion(self) -> Any:
        return _answer(self.record["driver"])

    def nvmlSystemGetCudaDriverVersion(self) -> Any:
        return _answer(self.record["cuda"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return _answer(self.record["devices"][index])

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        return SimpleNamespace(**_answer(handle["MemoryInfo"]))

    def nvmlDeviceGetPciInfo(self, handle: Any) -> Any:
        return SimpleNamespace(**_answer(handle["PciInfo"]))

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:
        return 7 if "mig" in handle else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, position: int) -> Any:
        if position >= len(handle["mig"]):
            raise pynvml.NVMLError_NotFound()
        return handle["mig"][position]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]:
        found = _answer(handle.get("ComputeRunningProcesses", []))
        return [SimpleNamespace(**process) for process in found]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: Any) -> list[Any]:
        found = _answer(handle.get("GraphicsRunningProcesses", []))
        return [SimpleNamespace(**process) for process in found]

    def nvmlDeviceGetTotalEccErrors(self, handle: Any, *_: Any) -> Any:
        return _answer(handle.get("EccUncorrVolatile", {"$error": "NVMLError_NotSupported"}))

    def nvmlDeviceGetP2PStatus(self, a: Any, b: Any, _: int) -> Any:
        return _answer(self.record.get("p2p", {"$error": "NVMLError_NotSupported"}))

    def _link(self, handle: Any, number: int, part: int) -> Any:
        links = handle.get("NvLink", [])
        if number >= len(links):
            raise pynvml.NVMLError_InvalidArgument()
        return _answer(links[number][part])

    def nvmlDeviceGetNvLinkState(self, handle: Any, number: int) -> Any:
        return self._link(handle, number, 0)

    def nvmlDeviceGetNvLinkRemoteDeviceType(self, handle: Any, number: int) -> Any:
        return self._link(handle, number, 1)

    def nvmlDeviceGetNvLinkRemotePciInfo(self, handle: Any, number: int) -> Any:
        return SimpleNamespace(busId=self._link(handle, number, 2).encode())


def fake_amdsmi(record: dict[str, Any]) -> Any:
    """The ``amdsmi`` module over recorded answers, which are named after its functions."""
    gpus = record["gpus"]

    def question(name: str) -> Callable[..., Any]:
        def ask(handle: int, *_: Any) -> Any:
            return gpus[handle][name]  # a KeyError is as good as any of its exceptions

        return ask

    def init() -> None:
        if "init_error" in record:
            raise OSError(record["init_error"])

    functions = {name: question(name) for gpu in gpus for name in gpu}
    linked = {frozenset(pair) for pair in record.get("xgmi", [])}
    return SimpleNamespace(
        **functions,
        amdsmi_init=init,
        amdsmi_shut_down=lambda: print("bye"),
        amdsmi_get_processor_handles=lambda: list(range(len(gpus))),
        amdsmi_topo_get_link_type=lambda a, b: {
            "hops": 1,
            "type": 2 if frozenset((a, b)) in linked else 1,
        },
    )
