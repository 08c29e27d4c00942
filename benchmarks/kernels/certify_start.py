#!/usr/bin/env python3
"""``gemma4ctl verify --kernels`` on this machine's GPU, and what ``suggest`` plans after it.

    certify_start.py MODELS OUT [--variant E2B] [-- FLAGS ...]

MODELS holds configurations and tokenizers named as on the hub (``E2B-it``, ...); FLAGS go to
SGLang. The weights are random, drawn as ``inside/fill.py`` does and written as a checkpoint of full
size into OUT (E2B: 10 GB), so that both servers load files. Receipts are in OUT too, so the user's
own stay as they are. OUT/certify-VARIANT.json: the receipt, exit status and seconds, and the plan
for these weights before and after.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "inside"))

from redaction import machine_names, redacted
from servers import module_digest, own_path
from serving import CLI
from shared import gpu_names, split_flags, write

PLANNED = ("kernels", "prefill_graphs", "kv_pools")  # decisions that a receipt changes


def write_checkpoint(published: Path, folder: Path) -> None:
    """A checkpoint with the configuration and tokenizer in ``published`` and random weights."""
    import torch
    import transformers
    from fill import fill

    config = transformers.AutoConfig.from_pretrained(published)
    (name,) = config.architectures
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = getattr(transformers, name)._from_config(config, dtype=torch.bfloat16)
    tensors = model.state_dict().values()
    bounds = [(tensor, tensor.clone()) for tensor in tensors if tensor.isinf().any()]
    fill(model)
    for tensor, bound in bounds:  # of activations: none
        tensor.copy_(bound)
    model.save_pretrained(folder)
    for file in published.iterdir():
        shutil.copy(file, folder)


def run(words: list[str], out: Path) -> tuple[int, Any]:
    """Run a command of gemma4ctl; its status and JSON. Its messages are added to messages.txt."""
    folders = {f"XDG_{kind}_HOME": str(out / kind.lower()) for kind in ("STATE", "CONFIG")}
    folders["PYTHONPATH"] = own_path(out / "plugin")  # SGLang finds gemma4ctl, installed or not
    with (out / "messages.txt").open("a") as messages:
        done = subprocess.run(
            [*CLI, *words], env={**os.environ, **folders}, stdout=subprocess.PIPE,
            stderr=messages, text=True,
        )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None


def planned(weights: Path, out: Path, flags: list[str]) -> dict[str, Any]:
    """What ``suggest`` decides for the weights about the model module."""
    _, plan = run(["suggest", "--model-path", str(weights), "--json", "--", *flags], out)
    decisions = plan["decisions"] if plan else []
    return {one["name"]: one["value"] for one in decisions if one["name"] in PLANNED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, metavar="MODELS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--variant", default="E2B")
    own, flags = split_flags(sys.argv[1:])
    args = parser.parse_args(own)
    out = args.out.resolve() / f"certify-{args.variant}"
    weights = out / f"{args.variant}-it"
    weights.mkdir(parents=True, exist_ok=True)
    if not list(weights.glob("*.safetensors")):
        # in a process of its own, so that none of the GPU stays taken
        code = "import sys; sys.path.insert(0, sys.argv[1]); import certify_start as script; "
        code += "from pathlib import Path; script.write_checkpoint(*map(Path, sys.argv[2:]))"
        folders = (Path(__file__).parent, args.models / f"{args.variant}-it", weights)
        subprocess.run([sys.executable, "-c", code, *map(str, folders)], check=True)
    before = planned(weights, out, flags)
    command = ["verify", "--kernels", "--model-path", str(weights), "--json", "--", *flags]
    began = time.monotonic()
    status, receipt = run(command, out)
    record = {
        "date": datetime.date.today().isoformat(),
        "gpu": gpu_names()[0],
        "model_module": module_digest(),
        "command": ["gemma4ctl", *command],
        "exit_status": status,
        "seconds": round(time.monotonic() - began, 1),
        "receipt": receipt,
        "plan_before": before,
        "plan_after": planned(weights, out, flags),
    }
    write(args.out / f"certify-{args.variant}.json", redacted(record, machine_names()))
    print(args.variant, status, record["plan_before"], record["plan_after"], flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
