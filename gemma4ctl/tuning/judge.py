"""Which changes of the plan the rules, the release and the memory allow, before any is tried."""

from __future__ import annotations

from collections.abc import Sequence

from gemma4ctl.bench.workload import Workload
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.engine import consider, plan
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.plan import Plan, PlanWarning, Severity
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.tuning.space import lengths

HARMFUL: frozenset[Severity] = frozenset({"crash", "oom", "silent", "security"})


class InfeasibleError(Exception):
    """A change that is not worth a start; the message says why."""


class Judge:
    """Plans changes of one request on one host, under one load."""

    def __init__(
        self, request: Request, inventory: Inventory, profiles: Profiles, load: Workload
    ) -> None:
        self._request, self._inventory = request, inventory
        self._profiles, self._load = profiles, load
        self.baseline = plan(request, inventory, profiles)
        self.situation = consider(request, inventory, profiles).situation
        self._known = {(warning.code, warning.severity) for warning in self.baseline.warnings}
        self._held = held(self.situation, load)

    @property
    def room(self) -> float | None:
        """How many times the load fits in the predicted pools; None where they are unknown."""
        return None if self._held is None else self._held / self._load.concurrency

    def plan(self, words: Sequence[str]) -> Plan:
        """The plan with ``words`` after its own flags.

        Raises:
            InfeasibleError: the rules refuse them or warn of harm, or the pools get too small.
        """
        request = self._request.model_copy(
            update={"extra_args": (*self._request.extra_args, *words)}
        )
        try:
            changed = plan(request, self._inventory, self._profiles, advise=False)
            situation = consider(request, self._inventory, self._profiles).situation
        except Gemma4ctlError as error:
            raise InfeasibleError(error.message) from error
        harm = next(filter(self._is_new_harm, changed.warnings), None)
        if harm is not None:
            raise InfeasibleError(harm.message)
        self._check_pools(situation)
        return changed

    def _is_new_harm(self, warning: PlanWarning) -> bool:
        return warning.severity in HARMFUL and (warning.code, warning.severity) not in self._known

    def _check_pools(self, changed: Situation) -> None:
        """Fewer requests at once than the load has, and than the plan holds, cannot be better."""
        now, before = held(changed, self._load), self._held
        if before is None:
            return
        if now is None:
            raise InfeasibleError("no memory is left for the KV pools")
        if now < min(before, self._load.concurrency):
            raise InfeasibleError(
                f"the KV pools would hold {now} requests of this load, the plan's hold {before}"
            )


def held(s: Situation, load: Workload) -> int | None:
    """Requests of ``load`` that the predicted pools run at once; None where nothing is known."""
    found = memory(s, s.tp, s.mtp)
    if found is None:
        return None
    return found.held(lengths(load)).requests
