"""SGLang servers with stock and with fused kernels, on one GPU, for the scripts of this folder.

Flags for all servers come from the command line, after ``--``. A server's log goes to a file of its
own, whose figures and last lines end up in the records.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # shared
sys.path.insert(0, str(Path(__file__).parents[2]))  # gemma4ctl

from shared import pools_beside_others
from sizes import Size

from gemma4ctl import __version__
from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.launch import logs
from gemma4ctl.sglang_model import support, switches

ROOT = Path(__file__).parents[2]
INSIDE = Path(__file__).parent / "inside"  # what runs in the servers' processes
GROUP, ENTRY_POINT = "sglang.srt.plugins", "gemma4ctl = gemma4ctl.sglang_model.plugin:load"
OURS = (
    switches.PACKAGE_VARIABLE, switches.KERNELS_VARIABLE, switches.KV_VARIABLE,
    switches.PREFILL_GRAPHS_VARIABLE, switches.PARTS_VARIABLE,
)  # fmt: skip
LOGS = Path("/tmp/gemma4ctl-kernels")
STARTED = LOGS / "started"  # a file for every kind of server that was ready on this machine
READY_S = 300  # a start that compiles kernels takes up to 110 s, torch.compile some minutes
RELEASE_S = 10.0  # for the driver to take memory back
GIB = 1024  # MiB
CONTEXT_GIB = 0.7
RUNTIME_GIB = 5.0  # beside weights and pools: context, CUDA graphs, activations


@dataclass(frozen=True)
class Contender:
    """A kind of server: what it has beyond the flags that all have.

    One that ``prefills_from_graphs`` is asked to, with the sizes of its variant.
    """

    name: str
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    prefills_from_graphs: bool = False


class Prefills(NamedTuple):
    """Batches of prefill in a server's log, those from CUDA graphs and the others."""

    from_graphs: int
    others: int


FUSED = {**switches.fused_environment(), **switches.shared_kv_environment()}
# Attention of decode batches by SGLang's own launches.
STOCK_DECODE = {switches.PARTS_VARIABLE: ",".join(set(switches.PARTS) - {"decode"})}

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("stock"),
        Contender("fused", environment=FUSED, prefills_from_graphs=True),
        Contender("fused-eager", environment=FUSED),
        Contender("fused-stock-decode", (), FUSED | STOCK_DECODE, prefills_from_graphs=True),
        Contender("shared-kv", environment=switches.shared_kv_environment()),
        *(
            Contender(
                f"{name}-splits-{splits}",
                ("--triton-attention-num-kv-splits", splits),
                more,
                prefills_from_graphs=name == "fused",
            )
            for name, more in (("stock", {}), ("fused", FUSED))
            for splits in ("4", "16", "32")
        ),
        # compiled for one request at a time: each batch size takes a minute to compile
        Contender("stock-compile", ("--enable-torch-compile", "--torch-compile-max-bs", "1")),
    )
}


class Gpu(NamedTuple):
    """A GPU as nvidia-smi shows it; memory in MiB."""

    index: int
    name: str
    driver: str
    total: int
    free: int

    @property
    def short(self) -> str:
        """ "H200" of "NVIDIA H200"."""
        words = self.name.replace("NVIDIA", "").split()
        return words[0] if words else "GPU"


def gpus() -> list[Gpu]:
    """The GPUs of this machine."""
    names = "index,name,driver_version,memory.total,memory.free"
    done = subprocess.run(
        ["nvidia-smi", f"--query-gpu={names}", "--format=csv,noheader,nounits"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split(", ") for line in done.stdout.strip().splitlines()]
    return [
        Gpu(int(n), name, driver, int(total), int(free)) for n, name, driver, total, free in rows
    ]


def host(gpu: Gpu) -> dict[str, str]:
    """What a record says of the machine."""
    releases = {f"{name}_version": release(name) for name in ("sglang", "torch", "triton")}
    return {
        "gpu": gpu.name,
        "driver_version": gpu.driver,
        **releases,
        "gemma4ctl_version": __version__,
        "model_module": module_digest(),
        "date": time.strftime("%Y-%m-%d"),
    }


@cache
def module_digest() -> str:
    """The start of the SHA-256 of the model module's sources: versions change less often."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "gemma4ctl" / "sglang_model").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def release(package: str) -> str:
    """The installed release of a package, "unknown" without one."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def python_path(folder: Path) -> str:
    """PYTHONPATH with this checkout, and with its entry point where it is not installed.

    SGLang finds plugins by the metadata of installed packages, so ``folder`` gets some. What is
    INSIDE are plugins too.
    """
    for name in ("fill", "experts", "gate"):
        announce(folder, f"gemma4ctl-{name}", f"gemma4ctl-{name} = {name}:install")
    return own_path(folder, INSIDE)


def own_path(folder: Path, *more: Path) -> str:
    """PYTHONPATH with this checkout and ``more``; its entry point is in ``folder``, if need be."""
    if not any(point.name == "gemma4ctl" for point in metadata.entry_points(group=GROUP)):
        announce(folder, "gemma4ctl", ENTRY_POINT)
    parts = [ROOT, *more, folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.pathsep.join(map(str, parts))


def announce(folder: Path, name: str, entry_point: str) -> None:
    """Metadata of a package, as pip writes them, for a plugin on PYTHONPATH."""
    info = folder / f"{name.replace('-', '_')}-{__version__}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {__version__}\n"
    (info / "METADATA").write_text(about)
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_point}\n")


class Place(NamedTuple):
    """Where a server runs: its checkpoint, GPU, port and log."""

    checkpoint: Path
    gpu: Gpu
    port: int
    log: Path


def started(checkpoint: Path, contender: Contender) -> Path:
    """A file that is there once a contender was ready on this machine."""
    return STARTED / f"{checkpoint.name}-{contender.name}"


def graph_sizes(checkpoint: Path) -> tuple[int, ...]:
    """Tokens of each CUDA graph of prefill of a checkpoint's variant."""
    return support.prefill_graph_sizes(checkpoint.name.removesuffix("-it"))


class StartError(Gemma4ctlError):
    """A server did not become ready."""


class Process:
    """A server, from its start on; its log tells what it does.

    One that is ``held`` imports its libraries, and waits for :meth:`let_go` before it touches the
    GPU (inside/gate.py). ``path``: its PYTHONPATH, instead of this checkout and what is INSIDE.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        port: int,
        log: Path,
        held: bool = False,
        path: str | None = None,
    ) -> None:
        self.argv, self.environment, self.log = list(argv), dict(environment), log
        self.held = held
        self.endpoint = Endpoint(url=f"http://127.0.0.1:{port}")
        self.seconds_to_ready: float | None = None
        folder = log.parent
        folder.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if name not in OURS}
        self._gate = log.with_suffix(".go")
        self._waiting = Path(f"{self._gate}.waiting")
        self._clear_gate()
        if held:
            inherited["GATE"] = str(self._gate)
        path = path or python_path(folder / "plugin")
        self._began = time.monotonic()
        with log.open("w") as file:
            self._process = subprocess.Popen(
                self.argv, stdout=file, stderr=file, start_new_session=True,
                env={**inherited, **self.environment, "PYTHONPATH": path},
            )  # fmt: skip
        self._pid_file = folder / f"{self._process.pid}.pid"
        self._pid_file.touch()

    def let_go(self) -> None:
        """Let it use the GPU; the seconds to ready begin here."""
        self._gate.touch()
        self._began = time.monotonic()

    def waits(self) -> bool:
        """Whether it is held back and has nothing left to import, or has ended."""
        return self._waiting.exists() or not self.alive()

    def ready(self, end: float, mark: str | None = None) -> bool:
        """Whether it answers, or its log shows ``mark``, before it ends or ``end`` is reached."""
        end = min(end, self._began + READY_S)
        while self.alive() and time.monotonic() < end:
            there = mark in self.text() if mark else http.get(self.endpoint, "/health", 30).ok
            if there:
                self.seconds_to_ready = round(time.monotonic() - self._began, 1)
                return True
            time.sleep(0.1)
        return False

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it with all its processes."""
        kill_group(self._process.pid)
        self._process.wait()
        self._pid_file.unlink(missing_ok=True)
        self._clear_gate()

    def _clear_gate(self) -> None:
        for file in (self._gate, self._waiting):
            file.unlink(missing_ok=True)

    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def announced(self) -> list[str]:
        """What our module said in the log."""
        ours = (line for line in self.text().splitlines() if f"gemma4ctl {__version__} " in line)
        return [line[:300] for line in dict.fromkeys(ours)][:6]


class Server(Process):
    """A contender on one GPU, or on ``tp`` GPUs from that one on."""

    def __init__(
        self,
        contender: Contender,
        place: Place,
        flags: Sequence[str],
        tp: int = 1,
        held: bool = False,
    ) -> None:
        self.contender, self.gpu = contender, place.gpu
        argv = [
            "sglang", "serve", "--model-type", "llm", "--model-path", str(place.checkpoint),
            "--host", "127.0.0.1", "--port", str(place.port), *contender.flags, *flags,
        ]  # fmt: skip
        visible = ",".join(str(place.gpu.index + rank) for rank in range(tp))
        environment = {**contender.environment, "CUDA_VISIBLE_DEVICES": visible}
        self.graph_sizes = graph_sizes(place.checkpoint) if contender.prefills_from_graphs else ()
        if self.graph_sizes:
            environment |= switches.prefill_graphs_environment(self.graph_sizes)
        self._started = started(place.checkpoint, contender)
        self.cold = not self._started.exists()
        super().__init__(argv, environment, place.port, place.log, held)

    def let_go(self) -> None:
        """As for any; kernels may have been compiled since it was started."""
        self.cold = not self._started.exists()
        super().let_go()

    def ready(self, end: float, mark: str | None = None) -> bool:
        """As for any; one that answers has compiled its kernels."""
        there = super().ready(end, mark)
        if there and mark is None:
            self._started.parent.mkdir(parents=True, exist_ok=True)
            self._started.touch()
        return there

    def must_be_ready(self, end: float, mark: str | None = None) -> None:
        """As :meth:`ready`.

        Raises:
            StartError: it is not.
        """
        if not self.ready(end, mark):
            raise StartError(
                "not ready in time" if self.alive() else "it ended before it was ready"
            )

    def stop(self) -> None:
        """End it with all its processes, and wait until the driver has its memory back."""
        taken = gpus()[self.gpu.index].free
        self.end()
        last, end = -1, time.monotonic() + RELEASE_S
        while time.monotonic() < end:
            free = gpus()[self.gpu.index].free
            if free == last and free > taken + GIB:
                return
            last = free
            time.sleep(0.5)

    def facts(self) -> dict[str, Any]:
        """What a record says of it: command, start-up time, pools, what our module announced.

        ``cold``: it was the first of its kind on the machine, for which kernels are compiled.
        """
        reported = logs.parse(self.text().splitlines(keepends=True)).reported
        return {
            "command": [*(f"{k}={v}" for k, v in self.environment.items()), *self.argv],
            "seconds_to_ready": self.seconds_to_ready,
            "cold": self.cold,
            "free_mib_before": self.gpu.free,
            "full_layer_tokens": reported.full_layer_tokens,
            "swa_layer_tokens": reported.swa_layer_tokens,
            "weights_gb": reported.weights_gb,
            "free_gb_at_start": reported.free_gb_at_start,
            "free_gb_after_weights": reported.free_gb_after_weights,
            "announced": self.announced(),
            "prefills": self.prefills()._asdict(),
        }

    def prefills(self) -> Prefills:
        """The batches of prefill so far."""
        found = [line for line in self.text().splitlines() if "Prefill batch" in line]
        from_graphs = sum("cuda graph: True" in line for line in found)
        return Prefills(from_graphs, len(found) - from_graphs)

    def retractions(self) -> int:
        """How often it has taken memory back from running requests."""
        return self.text().count("Retract requests")

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of its log, without the dump of its arguments."""
        found = [line[:300] for line in self.text().splitlines() if "server_args=" not in line]
        return found[-count:]


def kill_group(leader: int) -> None:
    """End a server that was started here, with all its processes."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def clear(folder: Path) -> None:
    """End the servers with logs in ``folder`` that a call which was cut off has left."""
    for file in folder.glob("*.pid"):
        command = Path(f"/proc/{file.stem}/cmdline")
        if command.exists() and b"sglang" in command.read_bytes():
            kill_group(int(file.stem))
        file.unlink()


def fraction(gpu: Gpu, weights_gib: float, pool_gib: float) -> str:
    """``--mem-fraction-static`` for KV pools of ``pool_gib``, or for what there is room for.

    SGLang takes the fraction of what is free when it starts: less its context and libraries.
    """
    free = gpu.free / GIB - CONTEXT_GIB
    most = free - (RUNTIME_GIB - CONTEXT_GIB)
    return f"{min(most, weights_gib + pool_gib) / free:.4f}"


def pool_flags(gpu: Gpu, size: Size, tokens: int, servers: int) -> list[str]:
    """Flags for KV pools of ``tokens`` where ``servers`` of that size share the GPU."""
    if servers > 1:
        return pools_beside_others(tokens)
    share = fraction(gpu, size.weights, size.pool)
    return ["--mem-fraction-static", share, "--max-total-tokens", str(tokens)]


def fitting(gpu: Gpu, size: Size) -> int:
    """How many servers of that size an idle GPU holds, at least one."""
    return max(1, int((gpu.free / GIB - 1) / (size.weights + size.pool + RUNTIME_GIB)))


def spread(
    names: Iterable[str], work: Callable[[str, Gpu], None], only: Sequence[int] | None = None
) -> None:
    """Give every GPU (or ``only`` some) names to work on, the next when it has done with one."""
    todo, lock = iter(names), threading.Lock()

    def worker(gpu: Gpu) -> None:
        while True:
            with lock:
                name = next(todo, None)
            if name is None:
                return
            work(name, gpu)

    used = [gpu for gpu in gpus() if only is None or gpu.index in only]
    threads = [threading.Thread(target=worker, args=(gpu,)) for gpu in used]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def add_options(
    parser: argparse.ArgumentParser,
    contenders: Sequence[str],
    name: str,
    kinds: Iterable[str] = CONTENDERS,
) -> None:
    """What the ``run`` of the script ``name`` takes; ``contenders`` of ``kinds`` by default."""
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--deadline", type=float, default=3600, metavar="SECONDS")
    parser.add_argument("--logs", type=Path, default=LOGS / name, help="of the servers; not kept")
    parser.add_argument("--port", type=int, default=30_000, help="the first one that is used")
    parser.add_argument("--gpus", nargs="+", type=int, metavar="N", help="not all of them")
    add_contenders(parser, contenders, kinds)


def add_contenders(
    parser: argparse.ArgumentParser, default: Sequence[str], kinds: Iterable[str] = CONTENDERS
) -> None:
    parser.add_argument("--contenders", nargs="+", choices=kinds, default=default)
