"""Fits of simulated and constructed hosts; platforms and releases are those of the table."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from gemma4ctl.fitting.document import FitDocument, Lever, VariantFit
from gemma4ctl.fitting.fit import Points, fit
from gemma4ctl.fitting.outcome import Outcome, Planner
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.request import Request
from tests.planning.hosts import node, table

FEW = Points(lengths=(8_192, None), concurrencies=(16,))


def planner(platform: str, gpus: int | None = None) -> Planner:
    return Planner(node(platform, gpus), table())


def outcome(platform: str, gpus: int | None = None, /, **request: Any) -> Outcome:
    return planner(platform, gpus).outcome(asked(platform, gpus, **request))


def asked(platform: str, gpus: int | None = None, /, **request: Any) -> Request:
    return Request(**{"model": "31B", "hardware": platform, "gpus": gpus, **request})


def fitted(platform: str, gpus: int | None = None, /, **request: Any) -> VariantFit:
    """The fit of one variant, 31B unless told."""
    found = fit([asked(platform, gpus, **request)], node(platform, gpus), table(), FEW)
    return found.variants[0]


def fitted_on(inventory: Inventory, **request: Any) -> VariantFit:
    """The fit of one variant on a constructed host."""
    made = Request(**{"model": "31B", **request})
    return fit([made], inventory, table(), FEW).variants[0]


@lru_cache(maxsize=8)
def everything(platform: str, gpus: int | None = None) -> FitDocument:
    """The fit of all variants."""
    requests = [asked(platform, gpus, model=name) for name in table().variants]
    return fit(requests, node(platform, gpus), table())


def levers(one: VariantFit) -> dict[str, Lever]:
    return {lever.name: lever for lever in one.levers}
