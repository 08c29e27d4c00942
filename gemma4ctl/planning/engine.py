"""``plan(request, inventory, profiles) -> Plan``: runs the rules and gathers what they say.

Pure: no clock, no files, no network, no environment.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import NamedTuple

from gemma4ctl import __version__
from gemma4ctl.capacity.stages import MIB
from gemma4ctl.capacity.workload import Workload, uniform
from gemma4ctl.errors import Gemma4ctlError, NoPlanError
from gemma4ctl.flags.parse import Words
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.load import USUAL_REQUEST
from gemma4ctl.planning.memory import memory, optimized
from gemma4ctl.planning.nearest import NONE_GIVEN, Given, alternatives, command, host_of
from gemma4ctl.planning.plan import (
    DEFAULT_SPLIT,
    LOAD_SPLIT,
    THIS_PLAN,
    Capacity,
    Decision,
    HardwareSummary,
    ImageChoice,
    ImageStatus,
    MemoryStages,
    Plan,
    PlanWarning,
    Split,
    Value,
    VariantSummary,
)
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.rules import RULES, Choose, Rule, Warn
from gemma4ctl.planning.rules.kernels import kernels_of_one_gpu
from gemma4ctl.planning.rules.serving import SECRET_FLAGS
from gemma4ctl.planning.situation import Situation, is_folder, situate
from gemma4ctl.planning.staged import staged
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.rendering.command import words

AFTER_DASHES = "after --"
NEAREST_SHOWN = 3


def plan(
    request: Request,
    inventory: Inventory,
    profiles: Profiles,
    *,
    without: Collection[str] = (),
    advise: bool = True,
    given: Given = NONE_GIVEN,
) -> Plan:
    """The plan for ``request`` on ``inventory``.

    Args:
        request: what is wanted; names already canonical.
        inventory: the devices, with their platforms identified.
        profiles: the fact table.
        without: ids of rules to leave out, for tests.
        advise: plan further than asked: the nearest plans on a refusal, and the split of the KV
            cache that --optimize would make.
        given: options that name the host or the table, for the commands of the nearest plans.

    Raises:
        NoPlanError: nothing fits or is supported; its remedies name the nearest plans that work.
        UsageError: a name is unknown.
    """
    try:
        return _plan(request, inventory, profiles, without, advise=advise)
    except NoPlanError as error:
        if not advise:
            raise
        found = nearest(request, inventory, profiles, given)
        raise NoPlanError(
            error.message,
            needed=error.needed,
            found=error.found,
            remedies=(*error.remedies, *found),
            code=error.code,
        ) from error


class Verdict(NamedTuple):
    """What the rules say of a situation; ``refusals`` pairs a rule's id with why it refuses."""

    situation: Situation
    warnings: tuple[PlanWarning, ...]
    refusals: tuple[tuple[str, Gemma4ctlError], ...] = ()


def consider(
    request: Request,
    inventory: Inventory,
    profiles: Profiles,
    *,
    without: Collection[str] = (),
    refuse: bool = True,
) -> Verdict:
    """Run the rules over ``request``; again where one needs to know the TP that a later one chose.

    Args:
        request: as for :func:`plan`.
        inventory: as for :func:`plan`.
        profiles: the fact table.
        without: ids of rules to leave out.
        refuse: raise the first refusal; False: gather refusals and go on.

    Raises:
        NoPlanError: the names cannot be resolved to anything plannable, or a rule refuses.
        UsageError: a name is unknown, or a value makes no sense.
    """
    once = _consider(situate(request, inventory, profiles), without, refuse=refuse)
    if not kernels_of_one_gpu(once.situation):
        return once
    again = situate(request, inventory, profiles, once.situation.tp)
    return _consider(again, without, refuse=refuse)


def _consider(situation: Situation, without: Collection[str], *, refuse: bool) -> Verdict:
    warnings: list[PlanWarning] = []
    refusals: list[tuple[str, Gemma4ctlError]] = []
    for rule in RULES:
        if rule.id in without:
            continue
        try:
            for outcome in rule.apply(situation):
                if isinstance(outcome, Choose):
                    situation.made[outcome.name] = _decision(outcome, rule, situation)
                else:
                    warnings.append(_warning(outcome, rule))
        except Gemma4ctlError as error:
            if refuse:
                raise
            refusals.append((rule.id, error))
    return Verdict(situation, tuple(warnings), tuple(refusals))


def _warning(outcome: Warn, rule: Rule) -> PlanWarning:
    return PlanWarning(
        code=outcome.code,
        severity=outcome.severity or rule.severity,
        message=outcome.message,
        remedy=outcome.remedy,
        rule=rule.id,
    )


def _plan(
    request: Request,
    inventory: Inventory,
    profiles: Profiles,
    without: Collection[str] = (),
    *,
    advise: bool,
) -> Plan:
    verdict = consider(request, inventory, profiles, without=without)
    situation = verdict.situation
    return Plan(
        gemma4ctl_version=__version__,
        profiles_hash=profiles.hash,
        request=request,
        hardware=_hardware(situation),
        variant=_variant(situation),
        release=situation.release.name,
        image=_image(situation),
        decisions=(*situation.made.values(), *_extras(situation)),
        extra_args=request.extra_args,
        capacity=_capacity(situation, advise=advise),
        warnings=verdict.warnings,
    )


def _decision(choice: Choose, rule: Rule, s: Situation) -> Decision:
    """The decision that ``choice`` makes, unless the user's own flag replaces it."""
    source = source_title(choice.source or rule.source, s.profiles)
    decision = Decision(
        name=choice.name,
        value=choice.value,
        flag=choice.flag,
        env=choice.env,
        rule=rule.id,
        reason=choice.reason,
        source=source,
        status=choice.status,
        origin=choice.origin,
    )
    own = _replacement(choice, s)
    if own is None:
        return decision
    return decision.model_copy(
        update={
            "value": _user_value(own, s),
            "flag": None,
            "reason": _replaced(decision),
            "source": "your command line",
            "status": "estimated",
            "origin": AFTER_DASHES,
        }
    )


def _replaced(planned: Decision) -> str:
    """Why the user's flag stands, and what the rules would have set."""
    if planned.origin == AFTER_DASHES or planned.value is None:
        return "your own flag"
    instead = " ".join(words(planned)) or str(planned.value)
    return f"your own flag, instead of {instead} ({planned.reason})"


def _replacement(choice: Choose, s: Situation) -> Words | None:
    """The user's words after ``--`` that set the same argument as ``choice``."""
    if not s.user_words:
        return None
    flag = s.flags.find(choice.flag) if choice.flag else None
    dest = flag.dest if flag else _DESTS.get(choice.name, choice.name)
    return next((own for own in reversed(s.user_words) if own.dest == dest), None)


# Decisions whose SGLang argument has another name.
_DESTS = {
    "tensor_parallel_size": "tp_size",
    "draft_model_path": "speculative_draft_model_path",
    "api_key_config": "config",
}


def _user_value(own: Words, s: Situation) -> Value:
    """What the user's words set; a secret is not repeated."""
    if own.dest is None:
        return " ".join(own.words)
    if own.dest in SECRET_FLAGS:
        return "(hidden)"
    value = s.user.values.get(own.dest)
    if isinstance(value, dict):
        return json.dumps(value)
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else value


def _extras(s: Situation) -> Iterator[Decision]:
    """The user's flags that no rule plans, shown as such; the last of equal ones."""
    shown = {_DESTS.get(d.name, d.name) for d in s.made.values() if d.origin == AFTER_DASHES}
    extras = {own.dest or own.words: own for own in s.user_words if own.dest not in shown}
    for own in extras.values():
        yield Decision(
            name=own.dest or own.canonical or own.words[0],
            value=_user_value(own, s),
            rule="user-flags",
            reason="your own flag, passed on unchanged",
            source="your command line",
            status="estimated",
            origin=AFTER_DASHES,
        )


_SENTENCES = {
    "user": "your request",
    "measured": "measured with SGLang 0.5.16 on H100 and H200",
    "detected": "what the host reports",
    "config": "the published model configuration",
    "secure-default": "secure by default: nothing is exposed unless asked for",
    "host-ram": "size of the published weight files; loaders map each one whole",
    "shared-memory": "shared memory per block by compute capability, vllm#39018",
    "issue-34872": "sglang#34872 and sglang#35860 (GB10)",
    "audio-tower": "met with SGLang 0.5.16 on H200; read in 0.5.11 to 0.5.23",
    "pull-26966": "sglang#26966",
    "pull-32131": "sglang#32131 for CPU; read in 0.5.13 to 0.5.23 for AMD GPUs",
    "pull-38758": "sglang#38758",
}


def source_title(key: str, profiles: Profiles) -> str:
    """The title of a source of the table, or the sentence that stands for it."""
    if key in profiles.sources:
        return profiles.sources[key].title
    return _SENTENCES.get(key, key)


def _hardware(s: Situation) -> HardwareSummary:
    selection = s.selection(s.tp)
    chosen = selection.units
    frees = [unit.memory_free_mib for unit in chosen if unit.memory_free_mib is not None]
    return HardwareSummary(
        platform=s.platform_name,
        vendor=s.platform.vendor,
        architecture=s.platform.architecture,
        gpu_count=len(chosen),
        host_gpu_count=len(s.group),
        memory_mib=s.unit_mib,
        free_mib=min(frees, default=None),
        source=s.inventory.source,
        units=chosen,
        pinned="devices" in s.made,
        choice=selection.reason,
    )


def _image(s: Situation) -> ImageChoice | None:
    """The container image that was decided; None where no tag is known."""
    made = s.made.get("image")
    if made is None:
        return None
    guessed: ImageStatus = "verified" if made.status == "verified" else "guess"
    return ImageChoice(
        reference=str(made.value),
        status=guessed if made.origin == "rule" else "user",
        reason=made.reason,
        source=made.source,
    )


def _variant(s: Situation) -> VariantSummary:
    path = str(s.value("model_path") or s.checkpoint.id)
    draft = s.value("draft_model_path")
    draft_path = str(draft) if draft else None
    return VariantSummary(
        name=s.variant_name,
        model_path=path,
        checkpoint=s.checkpoint.name,
        local=is_folder(path),
        draft_path=draft_path,
        draft_local=is_folder(draft_path),
    )


def _capacity(s: Situation, *, advise: bool) -> Capacity | None:
    found = memory(s, s.tp, s.mtp)
    if found is None:
        return None
    ratio = found.ratio.value
    improved = optimized(s, s.tp, s.mtp) if advise and not found.load else None
    other = found.default_split() if found.load else improved
    load = found.load or (other and other.load) or uniform(min(USUAL_REQUEST, s.context))
    splits = [_split(THIS_PLAN, found, load)]
    if other is not None:
        splits.append(_split(DEFAULT_SPLIT if found.load else LOAD_SPLIT, other, load))
    return Capacity(
        weights_mib_per_gpu=found.weights // MIB,
        draft_mib_per_gpu=found.draft // MIB,
        kv_bytes_per_token=int(found.cost.cell(ratio)),
        full_layer_tokens=found.pools.full,
        swa_layer_tokens=found.pools.sliding,
        max_concurrent_requests=found.held(uniform(s.context)).requests,
        max_context_tokens=min(found.longest_alone, s.context, s.variant.max_context),
        basis=_basis(found),
        load=load.text(),
        splits=tuple(splits),
        stages=_stages(s, found),
    )


def _basis(found: Memory) -> str:
    """What the pools are computed from."""
    formula = "estimate from SGLang's pool formula"
    if found.by_cap:
        return f"{formula}, with a sliding pool for {found.running} requests"
    return f"{formula} at a sliding/full ratio of {found.ratio.value:g}"


def _split(title: str, found: Memory, load: Workload) -> Split:
    count = found.held(load)
    return Split(
        title=title,
        swa_full_tokens_ratio=found.ratio.value,
        full_layer_tokens=found.pools.full,
        swa_layer_tokens=found.pools.sliding,
        requests=count.requests,
        limit=count.limit,
    )


def _stages(s: Situation, found: Memory) -> MemoryStages:
    stages = staged(s, s.tp, found)
    mib = {name: value // MIB for name, value in stages._asdict().items()}
    return MemoryStages(**mib, free=stages.free // MIB)


def nearest(
    request: Request, inventory: Inventory, profiles: Profiles, given: Given
) -> tuple[str, ...]:
    """Commands near ``request`` that do have a plan, nearest first; ``given``: as for ``plan``."""
    found: list[str] = []
    for candidate in alternatives(request, profiles):
        host = host_of(candidate, request, inventory, profiles)
        try:
            _plan(candidate, host, profiles, advise=False)
        except Gemma4ctlError:
            continue
        if (words := command(candidate, given)) not in found:
            found.append(words)
        if len(found) == NEAREST_SHOWN:
            break
    return tuple(found)
