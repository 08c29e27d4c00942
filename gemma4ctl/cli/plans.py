"""A plan from a plan file, or made now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemma4ctl.cli import inputs
from gemma4ctl.errors import NoPlanError, UsageError

if TYPE_CHECKING:
    from gemma4ctl.hardware.inventory import Inventory, Unit
    from gemma4ctl.planning.plan import Plan


def stored_or_made(
    plan_file: str | None,
    flags: Mapping[str, Any],
    extra: Sequence[str],
    purpose: inputs.Purpose,
) -> tuple[Plan, inputs.Inputs | None]:
    """The plan, and the inputs it was made from now (None for a plan file).

    Raises:
        UsageError: options were given beside a plan file, or it is bad.
        NoPlanError: a plan file names devices that this host no longer has.
    """
    if plan_file is None:
        read = inputs.read(flags, extra, purpose)
        return read.plan(), read
    given = [name for name, value in flags.items() if value is not None]
    if given or extra:
        raise UsageError(
            "a plan file is used unchanged; it takes no other options",
            found=", ".join("--" + name.replace("_", "-") for name in given) or " ".join(extra),
            remedies=["drop them, or make a new plan with gemma4ctl suggest -o FILE"],
            code="conflicting-options",
        )
    from gemma4ctl.rendering.planfile import read_plan

    plan = read_plan(Path(plan_file))
    if plan.hardware.source not in ("flag", "default", "file") or purpose == "serve":
        require_host(plan, _this_host())
    return plan, None


def _this_host() -> Inventory:
    from gemma4ctl.hardware.detect import detect
    from gemma4ctl.hardware.identify import identify
    from gemma4ctl.profiles.load import load

    return identify(detect(), load())


def require_host(plan: Plan, inventory: Inventory) -> None:
    """Refuse a plan that ``inventory`` no longer fits: its devices, or as many of its platform.

    Raises:
        NoPlanError: with what the plan needs and what there is.
    """
    from gemma4ctl.hardware.inventory import units

    here = units(inventory)
    if plan.hardware.pinned:
        wanted = {unit.id for unit in plan.hardware.units}
        missing = sorted(wanted - {unit.id for unit in here})
    else:
        alike = [unit for unit in here if _alike(unit, plan)]
        missing = [plan.hardware.platform] * (plan.hardware.gpu_count - len(alike))
    if missing:
        raise NoPlanError(
            "the plan does not fit this host any more",
            needed=f"{plan.hardware.gpu_count} x {plan.hardware.platform}, missing "
            + ", ".join(missing),
            found=", ".join(unit.name for unit in here) or "no GPU",
            remedies=["make a new plan here: gemma4ctl suggest -o FILE"],
            code="plan-stale",
        )


def _alike(unit: Unit, plan: Plan) -> bool:
    return (unit.platform or unit.name) == plan.hardware.platform
