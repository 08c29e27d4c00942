"""The rule about the bundled SGLang model module: fused kernels, and KV only where it is owned."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation, is_folder
from gemma4ctl.profiles.table import Status
from gemma4ctl.sglang_model import support, switches

DRAFTED_AS = ("NEXTN", "EAGLE")  # what SGLang makes frozen-KV MTP of, with a Gemma 4 draft


@rule("kernels", source="wheels", severity="perf")
def kernels(s: Situation) -> Outcomes:
    """Fused kernels and smaller KV pools where asked for or certified, else SGLang's own code."""
    asked = s.request.kernels
    problem = _problem(s) if asked == "fused" else _uncertified(s) if asked == "auto" else ""
    if problem is None:
        yield from _switched_on(s)
        return
    reason = f"SGLang's own model code: {problem}" if problem else "SGLang's own model code"
    yield Choose("kernels", "stock", reason, status="verified", origin=_origin(s))
    if asked == "fused":
        yield Warn(
            "kernels-stock",
            f"fused kernels were asked for, but the plan keeps SGLang's own: {problem}",
            "--kernels stock says so, or drop what stands against it",
        )


def _origin(s: Situation) -> str:
    return s.request.origins.get("kernels", "flag") if s.request.kernels != "auto" else "rule"


def _problem(s: Situation) -> str | None:
    """Why the module cannot serve this plan."""
    own = SimpleNamespace(**s.user.values)
    return (
        support.release_problem(s.release.name)
        or support.gpu_problem(s.platform.architecture)
        or (None if s.checkpoint.format == "bf16" else f"{s.checkpoint.format} weights")
        or support.kernels_problem(own)
    )


def _uncertified(s: Situation) -> str | None:
    """Why nobody knows that the fused kernels are right and faster here."""
    if (problem := _problem(s)) is not None:
        return problem
    release, gpu = s.release.name, s.platform.architecture
    if (release, gpu, s.variant_name) not in support.MEASURED:
        return f"the fused kernels are not measured to be faster for {s.variant_name} on {gpu}"
    if s.mtp or s.given("speculative_algorithm"):
        return "the fused kernels are not measured with MTP"
    if release not in s.request.kernels_certified:
        path = s.request.model_path
        folder = shlex.quote(path) if path and is_folder(path) else "FOLDER"
        return (
            f"the fused kernels are faster for {s.variant_name} on {gpu}, but not certified for "
            "these weights on this host; to do it once: "
            f"gemma4ctl verify --kernels --model-path {folder}"
        )
    return None


def _switched_on(s: Situation) -> Outcomes:
    """The decisions that switch the module on."""
    certified = s.release.name in s.request.kernels_certified
    reason = (
        "Gemma 4 with fused kernels, certified for these weights on this host"
        if certified
        else "Gemma 4 with fused kernels, as asked for; certify: gemma4ctl verify --kernels"
    )
    status: Status = "verified" if certified else "estimated"
    origin = _origin(s)
    yield Choose("kernels", "fused", reason, status=status, origin=origin)
    named = (
        ("kernels_package", "where SGLang loads the model classes from"),
        ("kernels_switch", "without it the module does nothing"),
    )
    pairs = zip(named, switches.fused_environment().items(), strict=True)
    for (name, why), (variable, value) in pairs:
        yield Choose(name, value, why, env=variable, status=status, origin=origin)
    if _kv_problem(s) is None:
        ((variable, value),) = switches.shared_kv_environment().items()
        why = "no KV pools for layers that share KV, nor for the draft, which owns none"
        yield Choose("kv_pools", value, why, env=variable, status=status, origin=origin)


def _kv_problem(s: Situation) -> str | None:
    """Why the pools stay SGLang's."""
    values = dict(s.user.values)
    if values.get("speculative_algorithm") in DRAFTED_AS:
        del values["speculative_algorithm"]
    return support.kv_problem(SimpleNamespace(**values))
