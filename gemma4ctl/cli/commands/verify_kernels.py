"""``gemma4ctl verify --kernels``: certify the fused kernels for a checkpoint on this host."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemma4ctl.certifying.receipt import Key, Receipt
    from gemma4ctl.cli.inputs import Inputs
    from gemma4ctl.endpoint.address import Endpoint
    from gemma4ctl.planning.plan import Plan


def verify_kernels(model_path: Path | None, extra: tuple[str, ...], *, json: bool) -> bool:
    """Start both servers, compare and time them, and write the receipt; True when it passed.

    Args:
        model_path: the folder of the weights.
        extra: SGLang's own flags for both servers.
        json: whether to print the receipt.

    Raises:
        UsageError: no weights are named.
        NoPlanError: the fused kernels cannot serve them here.
        ServerFailedError: a server did not start or answer.
    """
    from gemma4ctl.certifying.certify import certify, require_fused
    from gemma4ctl.certifying.receipt import Receipt
    from gemma4ctl.certifying.weights import weights_hash
    from gemma4ctl.cli import inputs
    from gemma4ctl.errors import UsageError
    from gemma4ctl.launch.signals import exit_on_signals
    from gemma4ctl.tuning.server import How

    if model_path is None:
        raise UsageError(
            "--kernels needs the weights that it is to certify",
            needed="--model-path FOLDER",
            code="model-missing",
        )
    weights = weights_hash(model_path)
    read = inputs.read({"model_path": str(model_path), "kernels": "fused"}, extra, "serve")
    fused = read.plan()
    require_fused(fused)
    stock = read._replace(request=read.request.model_copy(update={"kernels": "stock"})).plan()
    with exit_on_signals():
        found = certify(stock, fused, _endpoint(fused, read), how=How(), say=inputs.say)
    receipt = Receipt(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        variant=fused.variant.name,
        model_path=str(model_path),
        key=_key(weights, fused, read),
        comparisons=found.comparisons,
        stock_seconds=found.stock_seconds,
        fused_seconds=found.fused_seconds,
    )
    _show(receipt, json=json)
    return receipt.passed


def _endpoint(plan: Plan, read: Inputs) -> Endpoint:
    """Where ``serve`` will have the server listen."""
    from gemma4ctl.endpoint.address import Endpoint

    key = read.api_key.get_secret_value() if read.api_key else None
    return Endpoint(f"http://127.0.0.1:{plan.value('port') or plan.request.port}", key)


def _key(weights: str, plan: Plan, read: Inputs) -> Key:
    """What the receipt is good for."""
    from gemma4ctl import __version__
    from gemma4ctl.certifying.receipt import Key

    return Key(
        weights=weights,
        gpu=plan.hardware.units[0].name,
        driver=read.inventory.host.driver_version or "",
        release=plan.release,
        module=__version__,
    )


def _show(receipt: Receipt, *, json: bool) -> None:
    """Keep a receipt that passed, and say what was found."""
    from gemma4ctl.certifying.ask import AT_ONCE
    from gemma4ctl.certifying.prompts import CROWD
    from gemma4ctl.certifying.receipt import write
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.cli.show import print_json

    loads = {
        "alone": "one at a time",
        "together": f"{AT_ONCE} at once",
        "crowd": f"{CROWD} at once",
    }
    if json:
        print_json(receipt.model_dump(mode="json"))
    for kind, found in receipt.comparisons.items():
        say(
            f"{loads[kind]}: fused differs from stock by {found.fused.mean:.4f} nats (mean), stock "
            f"from itself by {found.noise.mean:.4f}; {found.fused.same_texts} of {found.prompts} "
            "same texts"
        )
    say(
        f"an output token takes {receipt.stock_seconds * 1000:.2f} ms with stock, "
        f"{receipt.fused_seconds * 1000:.2f} ms with fused kernels: {receipt.ratio:.2f}x"
    )
    for problem in receipt.problems:
        say(f"problem: {problem}")
    if receipt.passed:
        say(f"certified: {write(receipt, os.environ)}")
