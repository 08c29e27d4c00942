"""A result as one HTML file: nothing is loaded from elsewhere, and no script runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from gemma4ctl.bench.document import BenchResult, Scenario
from gemma4ctl.bench.reports import plot
from gemma4ctl.bench.reports.compare import values
from gemma4ctl.bench.reports.figures import FIGURES, number
from gemma4ctl.bench.reports.reference import Reference
from gemma4ctl.bench.summary import spread
from gemma4ctl.errors import UsageError

MARKER = '<meta name="generator" content="gemma4ctl bench">'


def html(result: BenchResult, reference: Reference) -> str:
    """The page of ``result``; without drawings where matplotlib is not installed."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gemma4ctl", "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawings, without = _drawings(result, reference)
    return environment.get_template("bench-report.html.j2").render(
        heading=plot.heading(result),
        result=result,
        reference=reference,
        facts=list(_facts(result)),
        figures=FIGURES,
        scenarios=[_scenario(each) for each in result.scenarios if each.whole],
        notes=list(_notes(result, reference, without)),
        drawings=drawings,
        server=_server(result),
        number=number,
    )


def _drawings(result: BenchResult, reference: Reference) -> tuple[list[dict[str, str]], str | None]:
    """The drawings with what they show in words, or none and why."""
    try:
        made = plot.svgs(result, reference)
    except UsageError as error:
        return [], f"Without drawings: {error.message}."
    words = [
        f"Throughput against latency. {plot.description(result)}.",
        "Gains over published figures, which are in the table below.",
    ]
    return [{"svg": svg, "words": text} for svg, text in zip(made, words, strict=False)], None


def _facts(result: BenchResult) -> Iterator[tuple[str, str]]:
    """What it was measured on, by name."""
    served, hardware, plan = result.served, result.hardware, result.plan
    yield "Date", f"{result.date[:16].replace('T', ' ')} UTC"
    yield "Model", served.model_path or served.model
    yield "SGLang", served.release or "not known"
    if hardware is None:
        yield "Hardware", "not known"
    else:
        yield "Hardware", f"{hardware.gpu_count} x {hardware.platform}"
        if hardware.gpus:
            yield "GPUs", ", ".join(hardware.gpus)
        if hardware.driver_version:
            yield "Driver", hardware.driver_version
    yield "Tensor parallel", str(served.tp or "not known")
    yield "MTP", {True: "on", False: "off", None: "not known"}[served.mtp]
    if plan is not None:
        yield "Plan", f"{plan.plan_hash}, checkpoint {plan.checkpoint}"
    yield "Measured with", f"gemma4ctl {result.gemma4ctl_version}"


def _scenario(scenario: Scenario) -> dict[str, Any]:
    """A scenario's column: each figure's mean, and its spread over the runs in percent."""
    cells = {}
    for figure in FIGURES:
        found = values(scenario, figure)
        if found:
            over = spread(found)
            cells[figure.name] = {
                "mean": number(over.mean),
                "spread": f"± {100 * over.cv:.1f}%" if len(found) > 1 else "",
            }
    failures = sum(run.summary.failures for run in scenario.whole)
    asked = sum(run.summary.completed for run in scenario.whole) + failures
    return {
        "name": scenario.workload.name,
        "client": "SGLang" if scenario.client == "sglang" else "built in",
        "runs": len(scenario.whole),
        "failed": f"{failures} of {asked:,}",
        "cells": cells,
    }


def _notes(result: BenchResult, reference: Reference, without: str | None) -> Iterator[str]:
    """What a reader should know, each once."""
    if not result.complete:
        yield "The measurement was stopped before its end."
    yield from dict.fromkeys(note for each in result.scenarios for note in each.notes)
    yield from result.problems
    yield from reference.problems
    if without:
        yield without


def _server(result: BenchResult) -> list[tuple[str, str]]:
    """How the server was started and what it says about itself, as texts to unfold."""
    found = []
    if result.plan is not None:
        variables = [f"{name}={shlex.quote(value)}" for name, value in result.plan.env.items()]
        found.append(("Command of the plan", " ".join([*variables, shlex.join(result.plan.argv)])))
    found.append(("Command of the measurement", shlex.join(result.command)))
    if result.served.server_args:
        arguments = json.dumps(result.served.server_args, indent=2, sort_keys=True, default=str)
        found.append(("Arguments of the server", arguments))
    return found
