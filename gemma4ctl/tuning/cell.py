"""The winner of a search as a row of the profile table, with the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma4ctl.bench.workload import Workload
from gemma4ctl.planning.plan import Plan
from gemma4ctl.profiles import lookup
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.tuning.metrics import Metric
from gemma4ctl.tuning.verdict import Verdict

# SGLang arguments whose field of a cell has another name.
FIELDS = {
    "mem_fraction_static": "mem_fraction",
    "cuda_graph_max_bs_decode": "cuda_graph_max_bs",
}
EVIDENCE = ("source", "date", "note", "status", "release", "load")  # not taken over from a cell


@dataclass(frozen=True)
class Winner:
    """A better point: what it sets (SGLang argument -> value), and how it was found."""

    plan: Plan
    settings: Mapping[str, str]
    load: Workload
    metric: Metric
    verdict: Verdict
    results: Path
    date: str  # ISO 8601


def unwritable(plan: Plan, profiles: Profiles) -> str | None:
    """Why the table has no row for ``plan``; None where it has."""
    if plan.hardware.platform not in profiles.platforms:
        return f"the profile table has no platform {plan.hardware.platform}"
    if any(unit.kind == "mig" for unit in plan.hardware.units):
        return "the profile table describes whole GPUs, and this is a slice of one"
    return None


def source_name(winner: Winner) -> str:
    """The key of the evidence among the table's sources."""
    plan, day = winner.plan, winner.date[:16]
    stamp = "".join(letter for letter in day if letter.isdigit())
    return f"tune-{plan.variant.name}-{plan.hardware.platform}-{stamp}".lower()


def source(winner: Winner) -> dict[str, str]:
    """The evidence: what was measured, where, with what, and where the results are."""
    plan, metric, verdict = winner.plan, winner.metric, winner.verdict
    title = (
        f"gemma4ctl tune on {plan.hardware.gpu_count} x {plan.hardware.platform}, "
        f"SGLang {plan.release}, {load_text(winner.load)}: {metric.title} "
        f"{metric.show(verdict.plan_figure)} -> {metric.show(verdict.best_figure)} "
        f"({verdict.gain:+.1%}, noise {verdict.noise:.1%}, {verdict.reason}); "
        f"results in {winner.results}"
    )
    return {"title": title, "date": winner.date[:10]}


def cell(winner: Winner, profiles: Profiles) -> dict[str, Any]:
    """The row: what identifies it, what was published for it before, and what was measured."""
    plan = winner.plan
    line = lookup.checkpoint(profiles, plan.variant.name, plan.variant.checkpoint).line
    mtp = bool(plan.value("mtp"))
    before = lookup.cell(profiles, plan.variant.name, plan.hardware.platform, line, mtp)
    kept = before.model_dump(mode="json", exclude_defaults=True) if before else {}
    row = {name: value for name, value in kept.items() if name not in EVIDENCE}
    row |= {
        "variant": plan.variant.name,
        "platform": plan.hardware.platform,
        "line": line,
        "mtp": mtp,
        "tp": int(str(plan.value("tensor_parallel_size") or 1)),
    }
    row |= {FIELDS.get(dest, dest): _number(text) for dest, text in winner.settings.items()}
    row |= {
        "load": f"{load_text(winner.load)}, {winner.metric.name}",
        "release": plan.release,
        "status": "verified",
        "source": source_name(winner),
        "date": winner.date[:10],
    }
    own = " ".join(plan.request.extra_args)
    return row | ({"note": f"Measured with {own}."} if own else {})


def load_text(load: Workload) -> str:
    """A load in words: "1,024 in / 256 out, 64 at once"."""
    images = f" and {load.images} images" if load.images else ""
    return (
        f"{load.input_tokens:,} in{images} / {load.output_tokens:,} out, "
        f"{load.concurrency:,} at once"
    )


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and "." not in text else value
