"""The rules about the bundled SGLang model module: its kernels, KV pools and graphs of prefill."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

from gemma4ctl.planning.plan import ONCE_CERTIFIED
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation, is_folder
from gemma4ctl.profiles.table import Status
from gemma4ctl.sglang_model import support, switches

UNCERTIFIED = (
    "the fused kernels are faster here, but not certified yet for these weights on this host"
)
GRAPH_FLAGS = (  # with any of them, how to prefill is yours to say
    "disable_cuda_graph",
    "disable_prefill_cuda_graph",
    "cuda_graph_config",
    "cuda_graph_backend_prefill",
    "cuda_graph_bs_prefill",
    "cuda_graph_max_bs_prefill",
)
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
    if problem == UNCERTIFIED:
        yield Choose(ONCE_CERTIFIED, "fused", _how(s), status="verified")
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
    return (
        support.release_problem(s.release.name)
        or support.gpu_problem(s.platform.architecture)
        or (None if s.checkpoint.format == "bf16" else f"{s.checkpoint.format} weights")
        or support.kernels_problem(_own(s))
    )


def _uncertified(s: Situation) -> str | None:
    """Why nobody knows that the fused kernels are right and faster here."""
    if (problem := _problem(s)) is not None:
        return problem
    return _unmeasured(s) or (
        None if s.release.name in s.request.kernels_certified else UNCERTIFIED
    )


def _unmeasured(s: Situation) -> str | None:
    """Why no measurement says that the fused kernels are faster."""
    gpu = s.platform.architecture
    if (s.release.name, gpu, s.variant_name) not in support.MEASURED:
        return f"the fused kernels are not measured to be faster for {s.variant_name} on {gpu}"
    if s.mtp or s.given("speculative_algorithm"):
        return "the speed of the fused kernels is not measured with MTP"
    if _known_tp(s) > 1:  # nor does a receipt say what answers are then
        return "the fused kernels are not measured with tensor parallelism"
    return None


def kernels_of_one_gpu(s: Situation) -> bool:
    """Whether the rule chose for one GPU what the load then took several for."""
    chosen = s.value("kernels") == "fused" or ONCE_CERTIFIED in s.made
    return chosen and s.tp > _known_tp(s) == 1


def _known_tp(s: Situation) -> int:
    """The TP that is asked for, else what an earlier run of the rules chose."""
    return int(s.given("tp_size") or s.request.tp or s.expected_tp)


def _how(s: Situation) -> str:
    """The command that certifies the weights."""
    path = s.request.model_path
    folder = shlex.quote(path) if path and is_folder(path) else "FOLDER"
    return f"gemma4ctl verify --kernels --model-path {folder}"


def _switched_on(s: Situation) -> Outcomes:
    """The decisions that switch the module on."""
    certified = s.release.name in s.request.kernels_certified
    reason = (
        "certified for these weights on this host"
        if certified
        else f"as asked for; to certify: {_how(s)}"
    )
    status: Status = "estimated" if not certified and _unmeasured(s) else "verified"
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


@rule("prefill-graphs", source="measured", severity="perf")
def prefill_graphs(s: Situation) -> Outcomes:
    """Prefill of the fused kernels from CUDA graphs, where that is measured to be faster."""
    if s.value("kernels") != "fused" or any(s.given(flag) is not None for flag in GRAPH_FLAGS):
        return
    measured = (s.release.name, s.platform.architecture, s.variant_name)
    if measured not in support.PREFILL_GRAPHS_MEASURED or _known_tp(s) > 1 or s.mtp:
        return
    if s.value("attention_backend") != "triton" or support.prefill_graphs_problem(_own(s)):
        return
    if not (fitting := _graph_sizes(s)):
        return
    ((variable, sizes),) = switches.prefill_graphs_environment(fitting).items()
    reason = "short prompts do not wait for launches: the first token 1.6 to 2.8 times as soon"
    yield Choose("prefill_graphs", sizes, reason, env=variable, status="verified")


def _graph_sizes(s: Situation) -> list[int]:
    """Numbers of tokens that are prefilled at once: of no more than a chunk or the context."""
    chunk = int(s.given("chunked_prefill_size") or 0)
    most = min(chunk, s.context) if chunk > 0 else s.context
    return [size for size in support.prefill_graph_sizes(s.variant_name) if size <= most]


def _own(s: Situation) -> SimpleNamespace:
    """The user's SGLang arguments, as attributes."""
    return SimpleNamespace(**s.user.values)


def _kv_problem(s: Situation) -> str | None:
    """Why the pools stay SGLang's."""
    values = dict(s.user.values)
    if values.get("speculative_algorithm") in DRAFTED_AS:
        del values["speculative_algorithm"]
    return support.kv_problem(SimpleNamespace(**values))
