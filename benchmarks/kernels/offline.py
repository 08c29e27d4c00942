"""Compile launches for a GPU that is not here, instead of launching them.

Triton's compiler needs no GPU, only what a launch is specialised on: types, alignment and
compile-time arguments. ``compiled`` takes these from calls of the kernels' own functions with
tensors of the device "meta", which have sizes and strides but no memory. It replaces Triton's
driver, so a process that calls it launches nothing afterwards.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

# By architecture: bytes that one block may have, and the multiprocessors of a GPU.
SHARED_MEMORY = {90: 227 << 10}
MULTIPROCESSORS = {90: 132}


class Compiled(NamedTuple):
    """A kernel's needs, and the arguments whose memory it reads before and after its wait."""

    name: str
    registers: int  # of a thread
    spilled: int  # bytes of a thread that did not fit into registers
    shared: int  # bytes of a block
    waits: bool  # for the launches before it, on every path
    barriers: int  # of a block's warps in loops
    before: tuple[str, ...]
    after: tuple[str, ...]


def compiled(calls: Iterable[Callable[[], Any]], architecture: int = 90) -> Iterator[Compiled]:
    """The kernels that ``calls`` would launch, each once."""
    launches = _recorded(architecture)
    seen = set()
    for call in calls:
        call()
        while launches:
            kernel = launches.pop()
            if kernel.hash not in seen:
                seen.add(kernel.hash)
                yield _described(kernel)


def _recorded(architecture: int) -> list[Any]:
    """A list to which every launch from now on adds its kernel."""
    os.environ.pop("TRITON_INTERPRET", None)
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver, jit

    from gemma4ctl.sglang_model.kernels import decode, runtime

    class Absent:
        """As much of a driver as compiling takes."""

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_current_target(self) -> Any:
            return GPUTarget("cuda", architecture, 32)

    driver.set_active(Absent())
    launches: list[Any] = []
    launch = jit.JITFunction.run

    def record(self: Any, *args: Any, **options: Any) -> None:
        launches.append(launch(self, *args, **options | {"warmup": True}))

    jit.JITFunction.run = record
    runtime.architecture = lambda index: f"sm_{architecture}"
    runtime.launch = lambda x: {"PDL": True, "launch_pdl": True}
    decode._multiprocessors = lambda device: MULTIPROCESSORS[architecture]
    return launches


def _described(kernel: Any) -> Compiled:
    kinds = {name: kind for name, kind in kernel.src.signature.items() if kind != "constexpr"}
    names = [name if kind.startswith("*") else None for name, kind in kinds.items()]
    ptx = kernel.asm["ptx"]
    before, after = reads(ptx, names)
    registers, spilled = _usage(kernel.asm["cubin"])
    needs = (registers, spilled, kernel.metadata.shared)
    return Compiled(
        kernel.metadata.name, *needs, always_waits(ptx), barriers_in_loops(ptx), before, after
    )


def always_waits(ptx: str) -> bool:
    """Whether no path leads past the wait.

    A kernel that ends without waiting ends the wait of the next one too early: that waits for
    this kernel only, not for the one before it.
    """
    before, found, after = ptx.partition("griddepcontrol.wait")
    leaves = re.search(r"\bret;", before)
    targets = set(re.findall(r"\bbra(?:\.uni)?\s+(\$?\w+);", before))
    labels = set(re.findall(r"^\s*(\$?\w+):", after, re.MULTILINE))
    return bool(found) and not leaves and not targets & labels


def barriers_in_loops(ptx: str) -> int:
    """Barriers between a label and the last branch back to it."""
    found = set()
    for label in re.finditer(r"^\s*(\$?\w+):", ptx, re.MULTILINE):
        jumps = re.finditer(rf"\bbra(?:\.uni)?\s+{re.escape(label[1])};", ptx[label.end() :])
        end = label.end() + max((jump.end() for jump in jumps), default=0)
        inside = re.finditer(r"\b(?:bar|barrier)(?:\.cta)?\.sync\b", ptx[label.end() : end])
        found.update(label.end() + barrier.start() for barrier in inside)
    return len(found)


def _usage(cubin: bytes) -> tuple[int, int]:
    """Registers and bytes of local memory, as NVIDIA's tool that comes with Triton reads them."""
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True)
    found = re.search(r"REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)", told.stdout)
    if found is None:
        raise RuntimeError(f"{tool} says {told.stdout or told.stderr!r}")
    return int(found[1]), int(found[2]) + int(found[3])


def reads(ptx: str, names: list[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Arguments from whose addresses is loaded before the wait, and after it.

    ``names`` are those of the parameters, None for those that are no pointers. An address is
    followed from its parameter through the instructions that compute with it.
    """
    of: dict[str, set[str]] = {}  # register: arguments it was computed from
    before: set[str] = set()
    after: set[str] = set()
    waited = False
    for line in map(str.strip, ptx.splitlines()):
        waited = waited or "griddepcontrol.wait" in line
        if found := re.match(r"ld\.param\.\S+\s+(%\w+), \[\w*param_(\d+)\]", line):
            name = dict(enumerate(names)).get(int(found[2]))
            of[found[1]] = {name} if name else set()
        elif re.search(r"\b(ld\.global|cp\.async\.(?!commit|wait))", line):
            addresses = re.findall(r"\[\s*(%rd\d+)", line)
            (after if waited else before).update(*(of.get(one, set()) for one in addresses))
        elif found := re.match(r"(?:@\S+ )?\w[\w.]*\s+(%rd\d+),\s*(.*);", line):
            sources = re.findall(r"%r[d]?\d+", found[2])
            of[found[1]] = set().union(*(of.get(one, set()) for one in sources))
    return tuple(sorted(before)), tuple(sorted(after))
