"""A proposal for the reader and as data."""

from __future__ import annotations

from dataclasses import asdict

from gemma4ctl import __version__
from gemma4ctl.rendering.command import argv, environment
from gemma4ctl.rendering.shell import shell
from gemma4ctl.replanning.document import (
    ChangeDocument,
    CommandDocument,
    GainDocument,
    LimitDocument,
    ObservedDocument,
    ReplanDocument,
    ShareDocument,
    SideDocument,
    ThroughputDocument,
)
from gemma4ctl.replanning.observation import Observation
from gemma4ctl.replanning.proposal import Change, Gain, Proposal, Side

MODEL = "requests/s = 1 / (prefill + output tokens x step(n) / n), step(n) = weights + request x n"
UNCHANGED = "nothing: the present settings already hold the most of this load"
NO_CHANGE = {
    "none": "nothing: the present settings fit this load",
    "prefill": "nothing: larger pools do not speed prefill up; more GPUs do (see also "
    "`gemma4ctl tune --metric ttft`)",
}
ASSUMED = (
    "as many requests stay in flight as were seen",
    "their lengths and shared prefixes stay as they are",
    "prefill and decode do not overlap",
)


def document(seen: Observation, proposal: Proposal) -> ReplanDocument:
    """The proposal as data."""
    plan, gain = proposal.after.plan, proposal.gain
    return ReplanDocument(
        gemma4ctl_version=__version__,
        observed=_observed(seen),
        limit=LimitDocument(**proposal.limit._asdict()),
        before=_side(proposal.before),
        after=_side(proposal.after),
        changes=tuple(ChangeDocument(**change._asdict()) for change in proposal.changes),
        gain=_gain(gain) if gain else None,
        command=CommandDocument(
            argv=tuple(argv(plan)), env=dict(environment(plan)), shell=shell(plan)
        ),
        warnings=tuple(plan.warnings),
    )


def _observed(seen: Observation) -> ObservedDocument:
    return ObservedDocument(
        **{
            **asdict(seen),
            "mix": tuple(ShareDocument(**share._asdict()) for share in seen.mix),
            "in_flight": seen.in_flight,
            "output_tok_s": seen.output_tok_s,
        }
    )


def _side(side: Side) -> SideDocument:
    """The predicted pools of a plan and what they hold of the load."""
    pools = side.memory.pools if side.memory else None
    return SideDocument(
        full_layer_tokens=pools.full if pools else None,
        swa_layer_tokens=pools.sliding if pools else None,
        requests=side.held.requests if side.held else None,
        limit=side.held.limit if side.held else None,
    )


def _gain(gain: Gain) -> GainDocument:
    model = ThroughputDocument(**gain.model._asdict()) if gain.model else None
    return GainDocument(**{**gain._asdict(), "model": model}, formula=MODEL, assumed=ASSUMED)


def text(seen: Observation, proposal: Proposal) -> str:
    """The proposal for the reader: what binds, what changes, what it brings; no command."""
    lines = [
        f"seen      {seen.source}: {seen.requests:,} requests, "
        f"{seen.input_tokens:,.0f} in / {seen.output_tokens:,.0f} out on average"
        + (f", {seen.in_flight:,.1f} in flight" if seen.in_flight is not None else ""),
        f"load      {proposal.load.text()}",
        f"limit     {proposal.limit.text}",
    ]
    lines += [f"pools     {_pools(proposal)}"] if proposal.after.memory else []
    if not proposal.changes:
        lines.append(f"change    {NO_CHANGE.get(proposal.limit.name, UNCHANGED)}")
    for place, change in enumerate(proposal.changes):
        lines.append(f"{'change' if not place else '':<10}{_change(change)}")
    lines += [f"gain      {_gain_text(proposal.gain)}"] if proposal.gain else []
    return "\n".join([*lines, *(f"note      {note}" for note in seen.notes)])


def _pools(proposal: Proposal) -> str:
    """Both pools before and after."""
    parts = []
    for side in (proposal.before, proposal.after):
        if side.memory is None or side.held is None:
            parts.append("not predicted")
            continue
        found = side.memory.pools
        parts.append(
            f"{found.full:,} full + {found.sliding:,} sliding tokens hold "
            f"{side.held.requests:,} requests of it ({side.held.limit})"
        )
    return " -> ".join(parts)


def _change(change: Change) -> str:
    return f"{change.flag} {change.before or 'unset'} -> {change.after or 'unset'}"


def _gain_text(gain: Gain) -> str:
    """The prediction, with what it rests on."""
    more = f"{gain.running_before:,.1f} -> {gain.running_after:,.1f} requests run at once"
    if gain.ratio is None:
        return f"{more} (estimated; no rate was seen to predict throughput from)"
    return (
        f"{gain.ratio:.2f} x output throughput (estimated: {more}; "
        f"{gain.requests_s_before:.3g} -> {gain.requests_s_after:.3g} requests/s)"
    )
