"""A plan from a plan file, or made now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gemma4ctl.cli import inputs
from gemma4ctl.errors import NoPlanError, UsageError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from gemma4ctl.hardware.inventory import Inventory, Unit
    from gemma4ctl.planning.plan import Plan
    from gemma4ctl.profiles.table import Profiles

BESIDE_PLAN = ("api_key_file",)  # the key is no part of a plan


class Planned(NamedTuple):
    """A plan, the table that describes its variant, and the API key it is to run with."""

    plan: Plan
    profiles: Profiles
    api_key: SecretStr | None

    def keep_key(self) -> None:
        """Write the file with the API key that the plan's command names, and say so."""
        from gemma4ctl.secrets import write_config

        path = self.plan.request.api_key_config
        if path is not None and self.api_key is not None:
            write_config(Path(path), self.api_key)
            inputs.say(f"the API key is in {path}, which only you can read")


def stored_or_made(
    plan_file: str | None,
    flags: Mapping[str, Any],
    extra: Sequence[str],
    purpose: inputs.Purpose,
) -> Planned:
    """The plan in ``plan_file``, or one made now from ``flags`` and ``extra``.

    Raises:
        UsageError: options were given beside a plan file, or it is bad.
        NoPlanError: a plan file names devices that this host no longer has.
    """
    if plan_file is None:
        read = inputs.read(flags, extra, purpose)
        return Planned(read.plan(), read.profiles, read.api_key)
    given = [name for name, value in flags.items() if value is not None and name not in BESIDE_PLAN]
    if given or extra:
        raise UsageError(
            "a plan file is used unchanged; it takes no other options",
            found=", ".join("--" + name.replace("_", "-") for name in given) or "flags after --",
            remedies=["drop them, or make a new plan with gemma4ctl suggest -o FILE"],
            code="conflicting-options",
        )
    return _stored(Path(plan_file), flags, purpose)


def _stored(file: Path, flags: Mapping[str, Any], purpose: inputs.Purpose) -> Planned:
    """The plan in ``file``, if this host still fits it."""
    from gemma4ctl.profiles.load import load
    from gemma4ctl.rendering.planfile import read_plan
    from gemma4ctl.settings import gather

    settings = gather({name: flags.get(name) for name in BESIDE_PLAN})
    own = settings.get("profiles")
    profiles = load(Path(own) if own else None)
    plan = read_plan(file)
    if plan.hardware.source not in ("flag", "default", "file") or purpose == "serve":
        require_host(plan, _this_host(profiles))
    key = _key_of(plan, settings.get("api_key_file"))
    return Planned(_for_launch(plan) if purpose == "serve" else plan, profiles, key)


def _key_of(plan: Plan, key_file: str | None) -> SecretStr | None:
    """The API key for a stored plan that was made with one; plans hold no secrets."""
    from gemma4ctl.secrets import VARIABLE, find_api_key

    if plan.request.api_key_config is None:
        return None
    key = find_api_key(os.environ, key_file)
    if key is None:
        raise UsageError(
            "the plan serves with an API key, which plan files do not hold",
            needed=f"the key in {VARIABLE}, or --api-key-file FILE",
            code="api-key-missing",
        )
    return key


def _for_launch(plan: Plan) -> Plan:
    """``plan`` with a key file of this launch's own, where it has one.

    The file that it was made with belongs to the command that was printed then.
    """
    from gemma4ctl.secrets import launch_config_path

    made_with = plan.request.api_key_config
    if made_with is None:
        return plan
    own = str(launch_config_path(os.environ, plan.request.port))
    request = plan.request.model_copy(update={"api_key_config": own})
    decisions = tuple(
        decision.model_copy(update={"value": own}) if decision.value == made_with else decision
        for decision in plan.decisions
    )
    return plan.model_copy(update={"request": request, "decisions": decisions})


def _this_host(profiles: Profiles) -> Inventory:
    from gemma4ctl.hardware.detect import detect
    from gemma4ctl.hardware.identify import identify

    return identify(detect(), profiles)


def require_host(plan: Plan, inventory: Inventory) -> None:
    """Refuse a plan that ``inventory`` no longer fits: its devices, or as many of its platform.

    Raises:
        NoPlanError: with what the plan needs and what there is.
    """
    here = inventory.units
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
