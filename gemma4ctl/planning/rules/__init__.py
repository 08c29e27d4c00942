"""The rules, in the order they run.

The order is fixed and does not depend on data: a rule may read only what earlier rules decided.
Rules that choose flags stand in the order of the command line: model, devices, parsers,
speculative decoding, attention, memory, scheduling, address; warnings about what was chosen follow.
"""

from gemma4ctl.planning.rules import (
    attention,
    memory,
    model,
    parallelism,
    release,
    serving,
    speculative,
)
from gemma4ctl.planning.rules.base import Choose, Rule, Warn

RULES: tuple[Rule, ...] = (
    release.release,
    release.release_unknown,
    release.release_serves_variant,
    release.driver_cuda,
    model.checkpoint_loads,
    model.checkpoint_hardware,
    model.gpu_architecture,
    model.modalities,
    model.kernels,
    memory.context_limit,
    model.model_path,
    model.model_type,
    model.host_ram,
    speculative.mtp,
    parallelism.device,
    parallelism.tensor_parallel,
    parallelism.devices,
    serving.reasoning_parser,
    serving.tool_call_parser,
    speculative.mtp_flags,
    speculative.mtp_swa_crash,
    attention.small_variant_aiter,
    attention.attention_backend,
    attention.attention_backend_allowed,
    attention.image_backend,
    attention.small_variant_image_mask,
    attention.nvfp4_accuracy,
    attention.page_size,
    attention.aiter_kv,
    memory.memory_fraction,
    memory.context_length,
    memory.image_chunks,
    speculative.mtp_running_requests,
    speculative.mtp_exclusions,
    speculative.mtp_draft_line,
    memory.concurrency,
    memory.radix_crash,
    serving.scheduler_interval,
    serving.address,
    serving.api_key,
    serving.exposure,
    serving.secret_in_argv,
    serving.remote_code,
    serving.pipeline_parallel,
    serving.lora,
    serving.dp_attention,
    serving.user_flags,
)

__all__ = ["RULES", "Choose", "Rule", "Warn"]
