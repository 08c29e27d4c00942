"""``plan(request, inventory, profiles) -> Plan``: runs the rules and gathers what they say.

Pure: no clock, no files, no network, no environment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gemma4ctl import __version__
from gemma4ctl.errors import Gemma4ctlError, NoPlanError
from gemma4ctl.flags.parse import Words
from gemma4ctl.hardware.inventory import Inventory, Unit
from gemma4ctl.hardware.select import choose
from gemma4ctl.planning.images import choose_image
from gemma4ctl.planning.memory import DEFAULT_SWA_RATIO, MIB, pools
from gemma4ctl.planning.plan import (
    Capacity,
    Decision,
    HardwareSummary,
    Plan,
    PlanWarning,
    VariantSummary,
)
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.rules import RULES, Choose, Rule
from gemma4ctl.planning.situation import Situation, is_folder, situate
from gemma4ctl.profiles.table import Profiles

AFTER_DASHES = "after --"
NEAREST_SHOWN = 3


def plan(
    request: Request,
    inventory: Inventory,
    profiles: Profiles,
    *,
    without: Collection[str] = (),
) -> Plan:
    """The plan for ``request`` on ``inventory``.

    Args:
        request: what is wanted; names already canonical.
        inventory: the devices, with their platforms identified.
        profiles: the fact table.
        without: ids of rules to leave out, for tests.

    Raises:
        NoPlanError: nothing fits or is supported; its remedies name the nearest plans that work.
        UsageError: a name is unknown.
    """
    try:
        return _plan(request, inventory, profiles, without)
    except NoPlanError as error:
        found = nearest(request, inventory, profiles)
        raise NoPlanError(
            error.message,
            needed=error.needed,
            found=error.found,
            remedies=(*error.remedies, *found),
            code=error.code,
        ) from error


def _plan(
    request: Request, inventory: Inventory, profiles: Profiles, without: Collection[str]
) -> Plan:
    situation = situate(request, inventory, profiles)
    warnings: list[PlanWarning] = []
    for rule in RULES:
        if rule.id in without:
            continue
        for outcome in rule.apply(situation):
            if isinstance(outcome, Choose):
                situation.made[outcome.name] = _decision(outcome, rule, situation)
            else:
                warnings.append(
                    PlanWarning(
                        code=outcome.code,
                        severity=outcome.severity or rule.severity,
                        message=outcome.message,
                        remedy=outcome.remedy,
                        rule=rule.id,
                    )
                )
    image, image_warnings = choose_image(situation)
    return Plan(
        gemma4ctl_version=__version__,
        profiles_hash=profiles.hash,
        request=request,
        hardware=_hardware(situation),
        variant=_variant(situation),
        release=situation.release.name,
        image=image,
        decisions=(*situation.made.values(), *_extras(situation)),
        extra_args=request.extra_args,
        capacity=_capacity(situation),
        warnings=(*warnings, *image_warnings),
    )


def _decision(choice: Choose, rule: Rule, s: Situation) -> Decision:
    """The decision that ``choice`` makes, unless the user's own flag replaces it."""
    source = _source(choice.source or rule.source, s.profiles)
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
    words = _replacement(choice, s)
    if words is None:
        return decision
    instead = f"{choice.flag} {choice.value}" if choice.flag else f"{choice.value}"
    return decision.model_copy(
        update={
            "value": _user_value(words, s),
            "flag": None,
            "reason": f"your own flag; the rules say {instead} ({choice.reason})",
            "source": "your command line",
            "status": "estimated",
            "origin": AFTER_DASHES,
        }
    )


def _replacement(choice: Choose, s: Situation) -> Words | None:
    """The user's words after ``--`` that set the same argument as ``choice``."""
    flag = s.flags.find(choice.flag) if choice.flag else None
    dest = flag.dest if flag else _DESTS.get(choice.name, choice.name)
    return next((words for words in reversed(s.user_words) if words.dest == dest), None)


# Decisions whose SGLang argument has another name.
_DESTS = {
    "tensor_parallel_size": "tp_size",
    "draft_model_path": "speculative_draft_model_path",
    "api_key_config": "config",
}


def _user_value(words: Words, s: Situation) -> str | int | float | bool | tuple[str, ...] | None:
    value = s.user.values.get(words.dest or "")
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else value


def _extras(s: Situation) -> Iterator[Decision]:
    """The user's flags that no rule plans, shown as such."""
    shown = {_DESTS.get(d.name, d.name) for d in s.made.values() if d.origin == AFTER_DASHES}
    for words in s.user_words:
        if words.dest not in shown:
            yield Decision(
                name=words.dest or words.canonical,
                value=_user_value(words, s) if words.dest else " ".join(words.words),
                rule="user-flags",
                reason="your own flag, passed on unchanged",
                source="your command line",
                status="estimated",
                origin=AFTER_DASHES,
            )


_SENTENCES = {
    "user": "your request",
    "detected": "what the host reports",
    "config": "the published model configuration",
    "secure-default": "secure by default: nothing is exposed unless asked for",
    "host-ram": "size of the published weight files; loaders map each one whole",
    "shared-memory": "shared memory per block by compute capability, vllm#39018",
    "pull-26966": "sglang#26966",
    "pull-38758": "sglang#38758",
}


def _source(key: str, profiles: Profiles) -> str:
    """The title of a source of the table, or the sentence that stands for it."""
    if key in profiles.sources:
        return profiles.sources[key].title
    return _SENTENCES.get(key, key)


def _hardware(s: Situation) -> HardwareSummary:
    chosen, reason = _units(s)
    frees = [unit.memory_free_mib for unit in chosen if unit.memory_free_mib is not None]
    return HardwareSummary(
        platform=s.platform_name,
        vendor=s.platform.vendor,
        architecture=s.platform.architecture,
        gpu_count=s.tp,
        host_gpu_count=len(s.group),
        memory_mib=s.unit_mib,
        free_mib=min(frees, default=None),
        source=s.inventory.source,
        units=chosen,
        pinned="devices" in s.made,
        choice=reason,
    )


def _units(s: Situation) -> tuple[tuple[Unit, ...], str]:
    """The units of the plan, rank by rank, and why these."""
    if s.simulated:
        return s.group[: s.tp], f"{s.tp} of a simulated node of {len(s.group)}"
    selection = choose(s.usable, s.tp)
    return selection.units, selection.reason


def _variant(s: Situation) -> VariantSummary:
    draft = s.made.get("draft_model_path")
    path = str(s.value("model_path") or s.checkpoint.id)
    draft_path = str(draft.value) if draft else None
    return VariantSummary(
        name=s.variant_name,
        model_path=path,
        checkpoint=s.checkpoint.name,
        local=is_folder(path),
        draft_path=draft_path,
        draft_local=is_folder(draft_path),
    )


def _capacity(s: Situation) -> Capacity | None:
    found = pools(s, s.tp, s.mtp)
    if found is None:
        return None
    ratio = float(s.given("swa_full_tokens_ratio") or DEFAULT_SWA_RATIO)
    return Capacity(
        weights_mib_per_gpu=found.weights // MIB,
        draft_mib_per_gpu=found.draft // MIB,
        kv_bytes_per_token=found.cell,
        full_layer_tokens=found.full_tokens,
        swa_layer_tokens=found.swa_tokens,
        max_concurrent_requests=found.requests(s.context),
        max_context_tokens=min(found.full_tokens, s.variant.max_context),
        basis=f"estimate from SGLang's pool formula at a sliding/full ratio of {ratio:g}",
    )


def nearest(request: Request, inventory: Inventory, profiles: Profiles) -> tuple[str, ...]:
    """Commands near ``request`` that do have a plan, nearest first."""
    found: list[str] = []
    for words, candidate in _alternatives(request, profiles):
        try:
            _plan(candidate, inventory, profiles, ())
        except Gemma4ctlError:
            continue
        found.append(f"gemma4ctl suggest --model {candidate.model}{words}")
        if len(found) == NEAREST_SHOWN:
            break
    return tuple(found)


def _alternatives(request: Request, profiles: Profiles) -> Iterator[tuple[str, Request]]:
    """Requests that change one thing, the least important first, with the options that say so."""
    kept = _options(request)
    newest = profiles.default_release
    changes: list[dict[str, object]] = [
        {"mtp": False},
        {"tp": None},
        {"context_length": 32_768},
        {"context_length": 8_192},
        {"modalities": None},
        {"sglang_version": newest},
        {"sglang_version": newest, "mtp": False},
    ]
    names = [row.name for row in profiles.checkpoints if row.variant == request.model]
    changes += [{"checkpoint": name} for name in names if name != request.checkpoint]
    sizes = sorted(profiles.variants, key=lambda name: -profiles.variants[name].parameters)
    changes += [
        {"model": name, "checkpoint": "bf16", "model_path": None, "draft_path": None}
        for name in sizes
        if name != request.model
    ]
    for change in changes:
        if all(getattr(request, name) == value for name, value in change.items()):
            continue
        if change.get("context_length") and not _shorter(request, change["context_length"]):
            continue
        candidate = request.model_copy(update=change)
        yield _options(candidate) or kept, candidate


def _shorter(request: Request, length: object) -> bool:
    return request.context_length is not None and int(str(length)) < request.context_length


def _options(request: Request) -> str:
    """The options that repeat ``request``, besides its model."""
    words = [
        ("--hardware", request.hardware),
        ("--gpus", request.gpus if isinstance(request.gpus, int) else None),
        ("--checkpoint", request.checkpoint if request.checkpoint != "bf16" else None),
        ("--tp-size", request.tp),
        ("--context-length", request.context_length),
        ("--modality", ",".join(request.modalities) if request.modalities else None),
        ("--sglang-version", request.sglang_version),
    ]
    text = "".join(f" {name} {value}" for name, value in words if value is not None)
    return text + (" --mtp" if request.mtp else "")
