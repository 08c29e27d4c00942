"""Is the host ready to launch? One small check for each thing that stops a start.

Nothing here uses the network or reads a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from gemma4ctl.errors import PreflightError
from gemma4ctl.hardware.inventory import Inventory, Unit
from gemma4ctl.launch.container import daemon_info
from gemma4ctl.launch.install import SGLangInstall
from gemma4ctl.launch.preflight import containers, files, gpu, host, software
from gemma4ctl.launch.preflight.check import Check, fail
from gemma4ctl.launch.preflight.fabric import FabricState, check_fabric, fabric_states
from gemma4ctl.launch.preflight.needs import ModelFiles, Needs, needs_of

__all__ = ["Check", "ModelFiles", "Needs", "checks", "needs_of", "require"]


def checks(
    needs: Needs,
    inventory: Inventory,
    environment: Mapping[str, str],
    *,
    install: SGLangInstall | None = None,
    docker_info: Callable[[], dict[str, Any] | str] = daemon_info,
    fabric: Callable[[], list[FabricState]] = fabric_states,
) -> list[Check]:
    """Check the host against what a launch needs.

    Args:
        needs: see :func:`needs_of`.
        inventory: of this host, just detected.
        environment: of the process to start.
        install: the local SGLang, when that is what runs.
    """
    found = [host.check_port(needs), *_gpu_checks(needs, inventory, fabric)]
    if needs.runtime == "local":
        found += [software.check_sglang(needs, install)]
        found += _present(software.check_transformers(needs, install))
        found += _present(software.check_module(needs, install))
    else:
        found += _docker_checks(needs, docker_info())
    found += _present(gpu.check_driver(needs, inventory))
    found += [host.check_memory(needs, inventory.host)]
    found += [host.check_shared_memory(needs, inventory.host)]
    found += [files.check_model(m, environment, weights=needs.weights) for m in needs.models]
    found += [host.check_disk(_download_bytes(needs, environment), files.hub_cache(environment))]
    return found


def require(found: Sequence[Check]) -> None:
    """Refuse to launch when a check failed.

    Raises:
        PreflightError: names every failed check with what was needed and found, and the remedies.
    """
    failed = [check for check in found if check.status == "fail"]
    if not failed:
        return
    raise PreflightError(
        f"not ready to launch: {', '.join(check.name for check in failed)}",
        found="\n         ".join(f"{c.name}: {c.found} (need {c.needed})" for c in failed),
        remedies=[f"{check.name}: {check.remedy}" for check in failed],
        code="preflight",
    )


def _gpu_checks(
    needs: Needs, inventory: Inventory, fabric: Callable[[], list[FabricState]]
) -> list[Check]:
    if not needs.units:
        remedy = "check `gemma4ctl detect` and the driver"
        return [fail("GPU", "none", "a GPU that SGLang supports", remedy)]
    now = _units_now(needs, inventory)
    there = [unit for unit in now.values() if unit]
    remedy = "make the plan again on this host"
    found = [
        fail(f"GPU {planned}", "not on this host, or hidden", "the GPU of the plan", remedy)
        for planned, unit in now.items()
        if unit is None
    ]
    found += [gpu.check_health(unit) for unit in there]
    found += [gpu.check_memory(unit, needs, inventory) for unit in there]
    return found + _present(check_fabric(there, states=fabric))


def _units_now(needs: Needs, inventory: Inventory) -> dict[str, Unit | None]:
    """The planned units, by their ids, as they are now; None: not there.

    Where the command names no units, the server takes the first ones of the host.
    """
    there = inventory.units
    by_id = {unit.id: unit for unit in there}
    planned = [unit.id for unit in needs.units]
    if needs.pinned:
        return {unit_id: by_id.get(unit_id) for unit_id in planned}
    return dict(zip_longest(planned, there[: len(planned)]))


def _docker_checks(needs: Needs, info: dict[str, Any] | str) -> list[Check]:
    daemon = containers.check_daemon(info)
    if not isinstance(info, dict):
        return [daemon]
    return [daemon, containers.check_gpu_access(needs, info), containers.check_isolation(info)]


def _download_bytes(needs: Needs, environment: Mapping[str, str]) -> int:
    """How much SGLang will download before it can start."""
    if not needs.weights:
        return 0
    return sum(
        model.bytes or 0
        for model in needs.models
        if not model.local and not files.is_cached(model, environment, weights=True)
    )


def _present(check: Check | None) -> list[Check]:
    return [check] if check else []
