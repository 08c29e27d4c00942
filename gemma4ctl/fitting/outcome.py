"""One plan with the memory of its GPUs: what every figure of ``fit`` is read from."""

from __future__ import annotations

from typing import Any, NamedTuple

from gemma4ctl.capacity.solver import LARGEST_RATIO, Held
from gemma4ctl.capacity.workload import Workload, uniform
from gemma4ctl.errors import NoPlanError
from gemma4ctl.fitting.document import Limit, Split
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.engine import consider
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.nearest import NONE_GIVEN, Given, command
from gemma4ctl.planning.plan import PlanWarning
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles.table import Profiles

# Without a load of its own, a request is planned as if it had none of these.
NO_LOAD: dict[str, Any] = {"request_tokens": None, "concurrency": None, "optimize": False}


class Outcome(NamedTuple):
    """What planning ``request`` comes to; ``memory`` is None where the platform's is no model."""

    request: Request
    situation: Situation
    memory: Memory | None
    warnings: tuple[PlanWarning, ...] = ()

    def held(self, load: Workload) -> Held | None:
        """Requests of ``load`` that run at once."""
        return self.memory and self.memory.held(load)

    def limit(self, found: Held) -> Limit:
        """What stops more than ``found``; "memory" where a split for the load fills both pools."""
        split = self.memory.ratio if self.memory else None
        fills = split is not None and split.origin == "load" and split.value < LARGEST_RATIO
        return "memory" if fills and found.limit != "running requests" else found.limit

    def split(self) -> Split | None:
        """The two pools."""
        m = self.memory
        return m and Split(
            ratio=m.ratio.value,
            share=m.share.value,
            chunk=int(m.chunk.value),
            full_layer_tokens=m.pools.full,
            swa_layer_tokens=m.pools.sliding,
            max_running_requests=m.running,
        )

    def longest(self, requests: int, most: int) -> tuple[int, Limit]:
        """Tokens, at most ``most``, of the longest requests of which ``requests`` run at once."""

        def enough(tokens: int) -> bool:
            found = self.held(uniform(tokens))
            return found is not None and found.requests >= requests

        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if enough(middle) else (low, middle - 1)
        if low == most:
            return low, "context"
        more = self.held(uniform(low + 1))
        return low, self.limit(more) if more else "memory"


class Planner(NamedTuple):
    """Plans requests for one host; ``given`` are options that name the host or the table."""

    inventory: Inventory
    profiles: Profiles
    given: Given = NONE_GIVEN

    def command(self, request: Request) -> str:
        """The ``suggest`` command that plans ``request`` on this host."""
        return command(request, self.given)

    def outcome(self, request: Request, **changes: Any) -> Outcome:
        """The outcome of ``request`` with ``changes`` to its fields.

        Raises:
            NoPlanError: ``suggest`` refuses it too.
            UsageError: a name is unknown, or a value makes no sense.
        """
        changed = request.model_copy(update=changes) if changes else request
        verdict = consider(changed, self.inventory, self.profiles)
        s = verdict.situation
        return Outcome(changed, s, memory(s, s.tp, s.mtp), verdict.warnings)

    def attempt(self, request: Request, **changes: Any) -> Outcome | None:
        """The outcome, or None where it is refused."""
        try:
            return self.outcome(request, **changes)
        except NoPlanError:
            return None


def same_tp(outcome: Outcome) -> dict[str, Any]:
    """The change that keeps the TP of ``outcome`` in other plans."""
    own = outcome.situation.given("tp_size") is not None
    return {} if own else {"tp": outcome.situation.tp}
