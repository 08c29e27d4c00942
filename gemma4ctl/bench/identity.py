"""What was measured: model and server, the hardware under it, the plan that started it."""

from __future__ import annotations

from gemma4ctl.bench.document import Hardware, Planned, Served
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.planning.plan import Plan

# SGLang's arguments that decide how fast it is.
ARGUMENTS = (
    "tp_size",
    "dp_size",
    "pp_size",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "load_format",
    "context_length",
    "mem_fraction_static",
    "max_running_requests",
    "max_total_tokens",
    "chunked_prefill_size",
    "max_prefill_tokens",
    "schedule_policy",
    "schedule_conservativeness",
    "scheduler_recv_interval",
    "stream_interval",
    "page_size",
    "swa_full_tokens_ratio",
    "attention_backend",
    "mm_attention_backend",
    "sampling_backend",
    "moe_runner_backend",
    "triton_attention_num_kv_splits",
    "cuda_graph_max_bs",
    "disable_cuda_graph",
    "disable_radix_cache",
    "disable_overlap_schedule",
    "enable_torch_compile",
    "speculative_algorithm",
    "speculative_num_steps",
    "speculative_eagle_topk",
    "speculative_num_draft_tokens",
)


def served(facts: Facts, model: str) -> Served:
    """What the endpoint says that it serves under the name ``model``."""
    arguments = facts.server_args or {}
    return Served(
        model=model,
        model_path=facts.model_path,
        variant=facts.variant,
        tp=facts.argument("tp_size"),
        mtp=facts.drafts if arguments else None,
        release=facts.release,
        server_args={name: arguments[name] for name in ARGUMENTS if name in arguments},
    )


def planned(plan: Plan) -> Planned:
    """The parts of ``plan`` that a result is kept with."""
    from gemma4ctl.rendering import command
    from gemma4ctl.rendering.planfile import plan_hash

    return Planned(
        plan_hash=plan_hash(plan),
        checkpoint=plan.variant.checkpoint,
        argv=tuple(command.argv(plan)),
        env=command.environment(plan),
    )


def hardware(endpoint: Endpoint, facts: Facts, plan: Plan | None) -> Hardware | None:
    """The GPUs that serve: of the plan, else of this machine when the endpoint is on it."""
    if plan is not None:
        return Hardware(
            platform=plan.hardware.platform,
            gpu_count=plan.hardware.gpu_count,
            gpus=tuple(unit.name for unit in plan.hardware.units),
            source="plan",
        )
    return _own(facts) if endpoint.is_local else None


def _own(facts: Facts) -> Hardware | None:
    """The GPUs of this machine, as many as the server uses."""
    from gemma4ctl.hardware.detect import detect
    from gemma4ctl.hardware.identify import identify
    from gemma4ctl.profiles.load import load

    inventory = identify(detect(), load())
    devices = [device for device in inventory.devices if device.visible and device.platform]
    if not devices:
        return None
    count = min(facts.argument("tp_size") or len(devices), len(devices))
    return Hardware(
        platform=str(devices[0].platform),
        gpu_count=count,
        gpus=tuple(device.name for device in devices[:count]),
        driver_version=inventory.host.driver_version,
        source=inventory.source,
    )
