"""Rules about the server: parsers, scheduling, address, key, and the user's own flags."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from gemma4ctl.planning.plan import Severity
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.situation import Situation

SECRET_FLAGS = {
    "api_key": "--api-key",
    "admin_api_key": "--admin-api-key",
    "ssl_keyfile_password": "--ssl-keyfile-password",
}
AUDIO_LIMIT = "limit_mm_data_per_request"
NO_AUDIO = '{"audio": 0}'
SEEN_TO_REFUSE = ("26B-A4B", "H200", "0.5.16")  # benchmarks/results/endpoint/26B-A4B


@rule("reasoning-parser", source="selector", severity="silent")
def reasoning_parser(s: Situation) -> Outcomes:
    """Keep thoughts apart from answers."""
    if s.request.reasoning:
        yield Choose(
            "reasoning_parser",
            s.variant.reasoning_parser,
            "thoughts come as reasoning_content; a request turns them on with "
            "chat_template_kwargs.enable_thinking",
            flag="--reasoning-parser",
            status="verified",
        )


@rule("tool-call-parser", source="selector", severity="silent")
def tool_call_parser(s: Situation) -> Outcomes:
    """Return tool calls as structured calls."""
    if s.request.tools:
        yield Choose(
            "tool_call_parser",
            s.variant.tool_call_parser,
            "tool calls come as structured tool_calls",
            flag="--tool-call-parser",
            status="verified",
        )


@rule("audio-limit", source="audio-tower", severity="crash")
def audio_limit(s: Situation) -> Outcomes:
    """Refuse audio where the variant has no audio tower: one such request ends the server."""
    if "audio" in s.variant.modalities:
        return
    here = (s.variant_name, s.platform_name, s.release.name)
    yield Choose(
        AUDIO_LIMIT,
        NO_AUDIO,
        f"a request with audio gets HTTP 400; else it ends the server, as {s.variant_name} has no "
        "audio tower",
        flag="--limit-mm-data-per-request",
        status="verified" if here == SEEN_TO_REFUSE else "estimated",
    )
    own = s.given(AUDIO_LIMIT)
    if own is not None and not _refuses_audio(own):
        yield Warn(
            "audio-ends-server",
            ends_on_audio(s.variant_name),
            f"""add "audio": 0 to the value of --limit-mm-data-per-request, as in '{NO_AUDIO}'""",
        )


def ends_on_audio(variant: str) -> str:
    """What happens to a server of ``variant`` that lets audio through."""
    return (
        f"one request with audio ends a server of {variant}, which has no audio tower: SGLang's "
        "scheduler stops on it"
    )


def _refuses_audio(limits: object) -> bool:
    most = limits.get("audio") if isinstance(limits, dict) else None
    return isinstance(most, (int, float)) and most <= 0


@rule("scheduler-interval", source="cookbook-2026-06", severity="perf")
def scheduler_interval(s: Situation) -> Outcomes:
    """On B200 the scheduler receives new requests less often for more throughput."""
    cell = s.cell()
    if cell is None or not cell.scheduler_recv_interval:
        return
    if cell.load or s.request.objective == "throughput":
        yield Choose(
            "scheduler_recv_interval",
            cell.scheduler_recv_interval,
            f"measured best for {cell.load}"
            if cell.load
            else "3% more output at 100 requests at once, published for B200",
            flag="--scheduler-recv-interval",
            status=cell.status,
        )


@rule("address", source="secure-default", severity="security")
def address(s: Situation) -> Outcomes:
    """Listen on this machine only, unless told."""
    origins = s.request.origins
    yield Choose(
        "host",
        s.request.host,
        "asked for" if "host" in origins else "reachable from this machine only",
        flag="--host",
        status="verified",
        origin=origins.get("host", "rule"),
    )
    yield Choose(
        "port",
        s.request.port,
        "asked for" if "port" in origins else "SGLang's own default",
        flag="--port",
        status="verified",
        origin=origins.get("port", "rule"),
    )


@rule("api-key", source="secure-default", severity="security")
def api_key(s: Situation) -> Outcomes:
    """The API key reaches SGLang in a file that only its owner can read."""
    if s.request.api_key_config is not None:
        yield Choose(
            "api_key_config",
            s.request.api_key_config,
            "holds the API key, which must not be in a command line",
            flag="--config",
            status="verified",
            origin=s.request.origins.get("api_key_config", "flag"),
        )


@rule("exposure", source="secure-default", severity="security")
def exposure(s: Situation) -> Outcomes:
    """Warn when others can reach a server that asks for no key."""
    host = str(s.given("host") or s.request.host)
    if _loopback(host) or s.request.api_key_config or s.given("api_key"):
        return
    yield Warn(
        "exposed-without-key",
        f"the server listens on {host} and asks for no API key",
        "set GEMMA4CTL_API_KEY or --api-key-file, or listen on 127.0.0.1",
    )


@lru_cache(maxsize=256)
def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@rule("secret-in-argv", source="secure-default", severity="security")
def secret_in_argv(s: Situation) -> Outcomes:
    """A key on the command line is readable by every user of the machine."""
    own = [flag for dest, flag in SECRET_FLAGS.items() if s.given(dest)]
    if own:
        yield Warn(
            "secret-in-argv",
            f"{' and '.join(own)} after -- is readable in the process list and in SGLang's log",
            "use GEMMA4CTL_API_KEY or --api-key-file",
        )


@rule("remote-code", source="secure-default", severity="security")
def remote_code(s: Situation) -> Outcomes:
    """Gemma 4 needs no code from its repository."""
    if s.given("trust_remote_code"):
        yield Warn(
            "remote-code",
            "--trust-remote-code runs code from the model repository; Gemma 4 needs none",
            "drop --trust-remote-code",
        )


@rule("pipeline-parallel", source="wheels", severity="crash")
def pipeline_parallel(s: Situation) -> Outcomes:
    """Per-layer embeddings and CUDA graphs do not work with pipeline parallelism."""
    pp = s.pp
    if pp > 1 and s.variant.per_layer_input and not s.given("disable_cuda_graph"):
        yield Warn(
            "pipeline-graphs",
            f"{s.variant_name} with --pp-size {pp} stops with a ValueError under CUDA graphs",
            "use --tp-size instead, or add --disable-cuda-graph",
        )
    if pp > 1 and s.given("grammar_backend") in (None, "xgrammar"):
        yield Warn(
            "pipeline-grammar",
            "structured output with xgrammar is unsafe under pipeline parallelism (sglang#28424)",
            "use --tp-size instead, or --grammar-backend none",
        )


@rule("lora", source="wheels", severity="crash")
def lora(s: Situation) -> Outcomes:
    """LoRA works on attention projections of the multimodal class only."""
    if s.given("lora_paths") or s.given("enable_lora"):
        yield Warn(
            "lora-limits",
            "adapters on MLP layers fail with a TypeError, and E2B adapters may miss weights "
            "(sglang#25913)",
            "target attention projections only",
        )


@rule("dp-attention", source="wheels", severity="crash")
def dp_attention(s: Situation) -> Outcomes:
    """Gemma 4's attention does not follow SGLang's data-parallel attention."""
    if s.given("enable_dp_attention") or s.given("attn_dp_size"):
        yield Warn(
            "dp-attention",
            "Gemma 4's attention is sharded over all ranks while the KV cache is not",
            "run replicas instead: --dp-size without data-parallel attention",
        )


@rule("user-flags", source="wheels", severity="crash")
def user_flags(s: Situation) -> Outcomes:
    """Check what stands after -- against the release's own flags."""
    for problem in s.user.problems:
        if problem.code == "missing-model":
            continue
        if problem.code == "duplicate-flag":
            remedy = "keep one of them"
        elif problem.fix:
            remedy = "use " + " ".join(problem.fix)
        else:
            remedy = "see `sglang serve --help`"
        severity: Severity = "crash" if problem.refused else "silent"
        yield Warn(problem.code, problem.message, remedy, severity=severity)
