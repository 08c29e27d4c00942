"""Rules about the devices: how many, which ones."""

from __future__ import annotations

from gemma4ctl.capacity.stages import idle_free_mib
from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.hardware.inventory import Unit
from gemma4ctl.planning.fraction import fraction
from gemma4ctl.planning.kv_cache import request_cap, sliding_by_cap
from gemma4ctl.planning.memory import LEAST_TOKENS, at_usual_share, memory
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import LARGEST_TP, Situation, free_mib
from gemma4ctl.planning.staged import weight_bytes
from gemma4ctl.profiles.table import Status

# A plan without a published TP uses the smallest that holds this many tokens of KV cache.
ROOMY_TOKENS = 32_768
# The page's TP for 26B-A4B with MTP: a recommendation, SGLang does not check it.
MOE_MTP_TP = 2

PARTS = {"gpu": "GPU", "mig": "MIG slice", "partition": "partition"}  # kinds of units
TAKEN_MIB = 1024  # of a GPU's memory, held by others: worth naming

VISIBILITY = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "ROCR_VISIBLE_DEVICES"}


@rule("device", source="selector", severity="crash")
def device(s: Situation) -> Outcomes:
    """CPUs and Intel GPUs are named to SGLang; GPUs of NVIDIA and AMD are its default."""
    words = list(s.platform.device_flags)
    while words:
        flag = words.pop(0)
        value = words.pop(0) if words and not words[0].startswith("--") else True
        yield Choose(
            flag.removeprefix("--").replace("-", "_"),
            value,
            f"how SGLang runs on {s.platform.title}",
            flag=flag,
            status="verified",
            source=s.platform.source,
        )


@rule("tensor-parallel", source="wheels", severity="oom")
def tensor_parallel(s: Situation) -> Outcomes:
    """The published TP where the host has it, else the smallest that fits and divides the heads."""
    possible = [tp for tp in _sizes(len(s.group) // s.groups) if divides(s, tp)]
    asked = s.request.tp if s.given("tp_size") is None else s.given("tp_size")
    if asked is not None:
        yield _asked(s, int(asked), possible)
    least = next((tp for tp in possible if _works(s, tp)), None)
    if least is None:
        raise _nothing_fits(s, max(possible, default=1))
    if asked is None:
        yield _chosen(s, possible, least)
    yield Choose("min_tensor_parallel_size", least, "the smallest TP that fits", status="estimated")
    advice = recommended(s)
    if advice is not None:
        yield advice
        yield from _compared(s, _number(advice), named=asked is not None)


def recommended(s: Situation) -> Choose | None:
    """The TP that is published for this variant here, or that the page asks for; None without."""
    name, cell = "recommended_tensor_parallel_size", s.cell()
    if cell is not None:
        reason = f"published for {s.variant_name} on {s.platform_name}"
        reason += " with MTP" if cell.mtp else ""
        return Choose(name, cell.tp, reason, status=cell.status, source=cell.source)
    if s.mtp and s.variant.experts and s.platform.vendor == "nvidia":
        reason = f"the page asks for it for {s.variant_name} with MTP on its GPUs"
        return Choose(name, MOE_MTP_TP, reason, source="cookbook-2026-06")
    return None


def _chosen(s: Situation, possible: list[int], least: int) -> Choose:
    """The recommended TP where it works, else the smallest that leaves room for KV cache."""
    advice = recommended(s)
    if s.request.concurrency and s.modelled and not s.request.safe:
        return _for_load(s, possible, advice)
    if advice is not None and advice.value in possible and _works(s, _number(advice)):
        return _advised(advice, least)
    roomy = next((tp for tp in possible if _works(s, tp) and _roomy(s, tp)), least)
    reason = f"the smallest that fits {s.variant_name} and divides its heads"
    return _tensor_parallel(roomy, reason, "estimated", None)


def _for_load(s: Situation, possible: list[int], advice: Choose | None) -> Choose:
    """The TP that holds the requests asked for; where none does, the one that holds the most.

    Without lengths any TP holds them, if they are short: then one where they may be useful ones.
    """
    wanted = s.request.concurrency or 0
    working = [tp for tp in possible if _works(s, tp)]
    holding = [tp for tp in working if _held(s, tp) >= wanted]
    if not (s.request.request_tokens or s.request.context_length):
        useful = [tp for tp in holding if _longest(s, tp) >= LEAST_TOKENS]
        holding = useful or sorted(holding, key=lambda tp: -_longest(s, tp))[:1]
    if not holding:
        most = max(working, key=lambda tp: (_held(s, tp), -tp))
        reason = f"none holds the {wanted} requests asked for; this one the most"
        return _tensor_parallel(most, reason, "estimated", None)
    if advice is not None and advice.value in holding:
        return _advised(advice, working[0])
    reason = f"the smallest that holds the {wanted} requests asked for"
    return _tensor_parallel(holding[0], reason, "estimated", None)


def _advised(advice: Choose, least: int) -> Choose:
    tp, reason = _number(advice), advice.reason
    if tp > least:
        reason += f" (TP {least} would fit)"
    return _tensor_parallel(tp, reason, advice.status, advice.source)


def _number(advice: Choose) -> int:
    return int(str(advice.value))


def _works(s: Situation, tp: int) -> bool:
    return fits(s, tp, LEAST_TOKENS)


def _roomy(s: Situation, tp: int) -> bool:
    """Whether TP ``tp`` has room for useful KV cache with the usual share and split of memory."""
    found = at_usual_share(s, tp, s.mtp)
    if found and found.ratio.origin == "load":
        found = found.default_split()
    usual = found.full_tokens if found else ROOMY_TOKENS
    return usual >= ROOMY_TOKENS and fits(s, tp, ROOMY_TOKENS)


def _held(s: Situation, tp: int) -> int:
    """Requests of the load asked for that TP ``tp`` runs at once."""
    found = memory(s, tp, s.mtp)
    return found.held(found.load).requests if found and found.load else 0


def _longest(s: Situation, tp: int) -> int:
    """Tokens of the longest request of the load asked for, with TP ``tp``."""
    found = memory(s, tp, s.mtp)
    return found.load.longest if found and found.load else 0


def _compared(s: Situation, advised: int, *, named: bool) -> Outcomes:
    """What to say where the plan does not use the recommended TP."""
    where = f"on {s.platform_name}" if s.cell() else "with MTP"
    subject = f"TP {advised} is recommended for {s.variant_name} {where}"
    if named and s.tp != advised:
        yield Warn(
            "tp-not-recommended", f"{subject}, not {s.tp}", f"--tp-size {advised}", severity="perf"
        )
    elif s.tp < advised:
        yield Warn(
            "tp-below-recommended",
            f"{subject}; this plan uses TP {s.tp}, on a host with {len(s.group)} usable",
            f"use {advised} GPUs for more KV cache and lower latency",
            severity="perf",
        )
    elif s.tp > advised and (obstacle := _obstacle(s, advised)):
        why, remedy = obstacle
        yield Warn(
            "tp-above-recommended",
            f"{subject}, but {why}; this plan uses TP {s.tp}",
            remedy,
            severity="perf",
        )


def _obstacle(s: Situation, tp: int) -> tuple[str, str] | None:
    """What keeps the plan from TP ``tp``, and what helps; None where nothing does."""
    if divides(s, tp) and _works(s, tp):
        return "does not hold the load", "lower --concurrency, or name the recommended --tp-size"
    share = fraction(s, tp, s.mtp)
    if share and share.origin != "rule":
        return f"does not fit in {share.value:g} of the memory", "leave out --mem-fraction"
    if share and s.unit_mib and weight_bytes(s, tp) >> 20 > share.value * s.unit_mib:
        return None
    remedy = "end other processes on the GPUs, or ask for a shorter --context-length"
    return "does not fit in the free memory", remedy


def _asked(s: Situation, tp: int, possible: list[int]) -> Choose:
    """The TP that the user named, if it can work."""
    origin = s.request.origins.get("tp", "flag") if s.given("tp_size") is None else "after --"
    if tp < 1:
        raise UsageError(
            f"TP {tp} is not possible", needed="--tp-size 1 or more", found=str(tp), code="tp-size"
        )
    if tp * s.groups > len(s.group):
        raise _too_few(s, tp, possible)
    if not divides(s, tp):
        raise NoPlanError(
            f"TP {tp} does not divide the heads of Gemma 4 {s.variant_name}",
            needed=f"a TP that divides {_heads(s)}",
            found=f"TP {tp}",
            remedies=_nearest_tp(s, tp, possible),
            code="tp-indivisible",
        )
    if not _works(s, tp):
        raise _nothing_fits(s, tp)
    return _tensor_parallel(tp, "asked for", "estimated", "user", origin)


def _nearest_tp(s: Situation, tp: int, possible: list[int]) -> list[str]:
    """The option that gives the largest TP that works and is no larger than ``tp``."""
    smaller = [size for size in possible if size <= tp and _works(s, size)]
    return [f"--tp-size {max(smaller)}"] if smaller else []


def _too_few(s: Situation, tp: int, possible: list[int]) -> NoPlanError:
    needed = tp * s.groups
    parts = f"TP {tp}" + (f" in {s.groups} groups" if s.groups > 1 else "")
    kind = "MIG slice" if s.group[0].kind == "mig" else "GPU"
    return NoPlanError(
        f"{parts} needs {needed} GPUs",
        needed=f"{needed} x {s.platform_name} that may work together",
        found=f"{len(s.group)} usable {kind}{'s' if len(s.group) > 1 else ''}",
        remedies=_nearest_tp(s, tp, possible),
        code="too-few-gpus",
    )


def _tensor_parallel(
    tp: int, reason: str, status: Status, source: str | None, origin: str = "rule"
) -> Choose:
    flag = "--tp-size" if tp > 1 else None
    return Choose("tensor_parallel_size", tp, reason, flag, None, status, source, origin)


def _sizes(units: int) -> list[int]:
    return [tp for tp in (1, 2, 4, 8, LARGEST_TP) if tp <= units]


def _heads(s: Situation) -> str:
    text = f"{s.variant.attention_heads} attention heads"
    return text + (f" and {s.variant.vision.heads} vision heads" if s.variant.vision.heads else "")


def divides(s: Situation, tp: int) -> bool:
    """Whether every kind of head splits over ``tp`` ranks (KV heads may be replicated)."""
    v = s.variant
    if tp > 1 and any(unit.kind == "mig" for unit in s.group):
        return False
    split = [v.attention_heads, *([v.vision.heads] if v.vision.heads else [])]
    shared = [v.kv_heads.sliding, v.kv_heads.full]
    return all(n % tp == 0 for n in split) and all(n % tp == 0 or tp % n == 0 for n in shared)


def fits(s: Situation, tp: int, tokens: int) -> bool:
    """Whether the weights fit with KV cache for ``tokens`` (or the context asked for).

    Where memory is not known, the published TP is the least known to work.
    """
    if not s.modelled:
        cell = s.cell()
        return cell is None or tp >= cell.tp
    found = memory(s, tp, s.mtp)
    wanted = max(tokens, s.context_asked or 0)
    limit = min(s.variant.max_context, int(s.given("max_total_tokens") or wanted))
    return found is not None and found.full_tokens >= min(wanted, limit)


def _nothing_fits(s: Situation, tp: int) -> NoPlanError:
    """Why not even TP ``tp`` works: too few GPUs, or too little memory."""
    if s.groups > len(s.group):
        return _too_few(s, 1, [])
    weights = weight_bytes(s, tp) >> 20
    context = max(LEAST_TOKENS, s.context_asked or 0)
    share, ratio = fraction(s, tp, s.mtp), s.given("swa_full_tokens_ratio")
    fullest = min(s.selection(tp).units, key=lambda unit: free_mib(unit) or 0)
    free, part = free_mib(fullest) or 0, PARTS[fullest.kind]
    cap = request_cap(s, s.mtp) if sliding_by_cap(s) else None
    remedies = ["leave --swa-full-tokens-ratio to the plan"] if ratio else []
    remedies += ["keep the radix cache, or lower --max-running-requests"] if cap else []
    remedies += _other_memory(fullest, free)
    whole = f"{tp} x {s.platform_name}"
    where = whole if fullest.kind == "gpu" else f"a {part} of {s.platform_name}"
    return NoPlanError(
        f"Gemma 4 {s.variant_name} ({s.checkpoint.name}) does not fit on {where}",
        needed=f"{weights:,} MiB a GPU for weights, and KV cache for {context:,} tokens",
        found=f"{free:,} of {s.unit_mib or 0:,} MiB free on the fullest {part}"
        + (f", of which SGLang may take {share.value:.0%}" if share else "")
        + (f"; your --swa-full-tokens-ratio {ratio}" if ratio else "")
        + (f"; without radix cache a sliding-window pool for {cap} requests" if cap else ""),
        remedies=remedies,
        code="does-not-fit",
    )


def _other_memory(unit: Unit, free: int) -> list[str]:
    """What to do about memory of a GPU that others hold, or that is divided."""
    if unit.kind == "mig":
        return ["a larger MIG slice, or the GPU without MIG"]
    taken = idle_free_mib(unit.memory_total_mib or 0) - free
    if taken < TAKEN_MIB:
        return []
    return [f"end what holds {taken:,} MiB of GPU {unit.index} (nvidia-smi or amd-smi lists it)"]


@rule("devices", source="detected", severity="perf")
def devices(s: Situation) -> Outcomes:
    """Name the devices where the host has more than the plan uses: one by UUID, several by index.

    SGLang's own all-reduce reads the variable as indices and is silently left out with UUIDs
    (0.5.11 to 0.5.23); indices mean the same devices everywhere in PCI bus order.
    """
    variable = VISIBILITY.get(s.platform.vendor)
    everything = sum(len(device.slices) or 1 for device in s.inventory.devices)
    named = isinstance(s.request.gpus, tuple)
    if s.simulated or variable is None or (everything == s.tp * s.groups and not named):
        return
    selection = s.selection(s.tp)
    indexed = s.platform.vendor == "nvidia" and len(selection.units) > 1
    yield Choose(
        "devices",
        ",".join(str(unit.index) if indexed else unit.id for unit in selection.units),
        selection.reason,
        env=variable,
        status="verified",
        origin=s.request.origins.get("gpus", "rule") if named else "rule",
    )
    if indexed:
        yield Choose(
            "device_order",
            "PCI_BUS_ID",
            "makes the indices above mean what nvidia-smi shows",
            env="CUDA_DEVICE_ORDER",
            status="verified",
        )


@rule("device-health", source="detected", severity="perf")
def device_health(s: Situation) -> Outcomes:
    """Name the GPUs that are left out, and the ones that are used although something is wrong."""
    if s.simulated:
        return
    for unit in s.inventory.units:
        if unit.health.status in ("lost", "unreadable"):
            yield Warn(
                "gpu-left-out",
                f"GPU {unit.index} ({unit.name}) is {unit.health.status}: {_reasons(unit)}",
                "see `gemma4ctl detect`; reset the GPU or restart the host to use it",
            )
    for unit in s.selection(s.tp).units:
        if unit.health.status == "degraded":
            yield Warn(
                "gpu-degraded",
                f"GPU {unit.index} ({unit.name}) is used but degraded: {_reasons(unit)}",
                "name other GPUs with --gpus, or repair this one",
            )


def _reasons(unit: Unit) -> str:
    return "; ".join(unit.health.reasons) or "no reason given"


@rule("moe-throughput-tp", source="cookbook-2026-06", severity="perf")
def moe_throughput_tp(s: Situation) -> Outcomes:
    """The page suggests TP 2 for the mixture of experts under heavy load."""
    heavy = s.request.objective == "throughput" and s.variant.experts is not None
    chosen = s.made.get("tensor_parallel_size")
    if heavy and chosen and chosen.origin == "rule" and s.tp == 1 and len(s.group) > 1:
        yield Warn(
            "tp2-for-throughput",
            f"the page suggests TP 2 for high-throughput work with {s.variant_name}",
            "compare --tp-size 2 with two servers of one GPU each",
        )
