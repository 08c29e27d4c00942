#!/usr/bin/env python3
"""SGLang with the model module as ``gemma4ctl docker`` brings it along, on a host without Docker.

    container_start.py MODELS OUT [--variant E2B] [--port 30000] [-- FLAGS ...]

MODELS holds checkpoints named as on the hub; FLAGS go to SGLang. The Compose file that gemma4ctl
writes says what the container has: folders of the module are copied to a root of its own, and
SGLang starts with the file's command and environment. It sees no other copy of gemma4ctl.
OUT/container-VARIANT.json: where the module was found, what it announced, an answer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import servers
import yaml
from redaction import machine_names, redacted
from serving import CLI
from shared import split_flags, write

from gemma4ctl.endpoint import http

OURS = ("kernels: fused", "KV: shared", "prefill: graphs")  # what the log must say
FIND = "import importlib.util as u; s = u.find_spec('gemma4ctl'); print(s.origin if s else '')"
READY_S = 300


def service(
    model: Path, out: Path, flags: Sequence[str], options: Sequence[str] = ()
) -> dict[str, Any]:
    """The service of the Compose file for a checkpoint with fused kernels.

    Raises:
        SystemExit: gemma4ctl did not write one, and has said why.
    """
    words = ["docker", "--model-path", str(model), "--kernels", "fused", "--compose", *options]
    environment = {**os.environ, "PYTHONPATH": servers.own_path(out / "plugin")}
    done = subprocess.run(
        [*CLI, *words, "--", *flags], env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(done.returncode)
    (found,) = yaml.safe_load(done.stdout)["services"].values()
    return dict(found)


class Image:
    """What the container would see: ``root`` holds the folders that are mounted read-only."""

    def __init__(self, found: dict[str, Any], root: Path) -> None:
        self.root = root
        self.binds = {bind["target"]: bind["source"] for bind in found["volumes"]}
        self.modules = found["environment"]["PYTHONPATH"]
        self.command: list[str] = found["command"]
        self.variables = {
            name: value for name, value in found["environment"].items()
            if name in servers.OURS
        }  # fmt: skip
        for target, source in self.binds.items():
            if target.startswith(f"{self.modules}/"):
                copied = self.inside(target)
                shutil.rmtree(copied, ignore_errors=True)
                shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))

    def inside(self, target: str) -> Path:
        """Where a folder of the container is on this host."""
        return self.root / target.lstrip("/")

    def argv(self, port: int) -> list[str]:
        """The command, with checkpoints where they are here, and for this host only."""
        found = [self.binds.get(word, word) for word in self.command]
        for flag, value in (("--host", "127.0.0.1"), ("--port", str(port))):
            found[found.index(flag) + 1] = value
        return found

    @property
    def path(self) -> str:
        """PYTHONPATH: SGLang's own, without any gemma4ctl but the mounted one."""
        others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        kept = [part for part in others if part and not (Path(part) / "gemma4ctl").exists()]
        return os.pathsep.join([str(self.inside(self.modules)), *kept])

    def found(self, path: str) -> str:
        """Where a Python with this PYTHONPATH finds gemma4ctl; empty where it does not."""
        environment = {**os.environ, "PYTHONPATH": path}
        words = [sys.executable, "-c", FIND]
        done = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True)
        return done.stdout.strip()


def record(image: Image, port: int, log: Path) -> dict[str, Any]:
    """How the module was loaded; ``passed`` where it was, from the mounts alone, and answers."""
    module = image.found(image.path)
    alone = image.found(os.pathsep.join(image.path.split(os.pathsep)[1:]))
    servers.clear(log.parent)
    server = servers.Process(image.argv(port), image.variables, port, log, path=image.path)
    try:
        ready = server.ready(time.monotonic() + READY_S)
        asked = {"input_ids": [list(range(5, 25))], "sampling_params": {"max_new_tokens": 8}}
        answer = http.post(server.endpoint, "/generate", asked, 60) if ready else None
        said = server.announced()
        graphs = [line for line in server.text().splitlines() if "CUDA graph end" in line]
    finally:
        server.end()
    mounted = bool(module) and Path(module).is_relative_to(image.inside(image.modules))
    active = all(any(text in line for line in said) for text in OURS)
    return {
        "metric": "the model module in SGLang as a container brings it along",
        **servers.host(servers.gpus()[0]),
        "command": image.argv(port),
        "environment": image.variables,
        "mounts": sorted(
            target.removeprefix(f"{image.modules}/")
            for target in image.binds
            if target.startswith(f"{image.modules}/")
        ),
        "found_in_the_mounts": mounted,
        "found_without_them": bool(alone),
        "seconds_to_ready": server.seconds_to_ready,
        "answered": answer is not None and answer.ok,
        "announced": said,
        "graphs": [line[:200] for line in graphs],  # memory of each kind, nothing starts beside it
        "passed": mounted and not alone and active and answer is not None and answer.ok,
    }


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--variant", default="E2B")
    parser.add_argument("--port", type=int, default=30_000)
    own, flags = split_flags(words)
    args = parser.parse_args(own)
    folder = args.out.resolve() / f"container-{args.variant}"
    folder.mkdir(parents=True, exist_ok=True)
    model = args.models.resolve() / f"{args.variant}-it"
    image = Image(service(model, folder, flags), folder / "root")
    found = record(image, args.port, folder / "server.log")
    write(args.out / f"container-{args.variant}.json", redacted(found, machine_names()))
    print(args.variant, "passed" if found["passed"] else "failed", found["announced"], flush=True)
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
