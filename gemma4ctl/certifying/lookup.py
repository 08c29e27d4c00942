"""Which releases a checkpoint on this host is certified for; nothing is read where none counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gemma4ctl import __version__
from gemma4ctl.errors import UsageError
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.sglang_model import support


def certified_releases(
    model_path: str | None, variant: str, inventory: Inventory, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Releases whose fused kernels have a receipt for the weights in the folder ``model_path``."""
    measured = any(name == variant for _, _, name in support.MEASURED)
    if not measured or model_path is None or not Path(model_path).is_dir():
        return ()
    if not inventory.devices:
        return ()
    from gemma4ctl.certifying.receipt import certified
    from gemma4ctl.certifying.weights import weights_hash

    try:
        weights = weights_hash(Path(model_path))
    except UsageError:
        return ()  # no weights: nothing can be certified
    return certified(
        environment,
        weights=weights,
        gpu=inventory.devices[0].name,
        driver=inventory.host.driver_version or "",
        module=__version__,
    )
