"""What a launch needs of the host, taken from the plan."""

from __future__ import annotations

from itertools import pairwise

from gemma4ctl.hardware.inventory import Unit
from gemma4ctl.launch.runtime import Runtime
from gemma4ctl.model import Model
from gemma4ctl.planning.plan import Plan
from gemma4ctl.profiles.table import Checkpoint, Profiles
from gemma4ctl.rendering.command import environment
from gemma4ctl.sglang_model import switches

# The least that a start takes beside weights and KV pools. Measured with SGLang 0.5.16 on an H200:
# 0.7 GiB for the CUDA context, 1.0 to 1.6 GiB for CUDA graphs and their buffers. The request table
# (4 bytes for each running request and token of context: 2 GiB for 4096 x 128K) shrinks with the
# pools, and activations come with the first requests; neither is counted here.
WORKING_MIB = 2048
MIB = 1024 * 1024


class ModelFiles(Model):
    """One model to load: a repository or a folder. Bytes are None where the table has none."""

    path: str
    local: bool
    role: str  # "model" or "draft model"
    bytes: int | None = None


class Needs(Model):
    """What a launch needs of the host.

    ``minimum_mib``: free memory per GPU without which it cannot start (weights and working
    memory); ``planned_mib``: with which it gets the planned KV pools. ``cuda_majors`` are the CUDA
    versions that the release (or the container image) is built for, ``transformers`` its pin.
    ``pinned``: the command names the units, so these very ones must be there.
    ``module``: SGLang will import gemma4ctl's model module.
    ``weights``: False with ``--load-format dummy``, which reads none.
    """

    runtime: Runtime
    host: str
    port: int
    units: tuple[Unit, ...]
    pinned: bool = True
    release: str
    min_release: str
    minimum_mib: int | None = None
    planned_mib: int | None = None
    transformers: str | None = None
    cuda_majors: tuple[int, ...] = ()
    models: tuple[ModelFiles, ...] = ()
    largest_shard_bytes: int | None = None
    module: bool = False
    weights: bool = True


def needs_of(plan: Plan, profiles: Profiles, runtime: Runtime) -> Needs:
    """The needs of ``plan`` when it runs locally or in a container."""
    checkpoint = _checkpoint(plan, profiles)
    release = profiles.releases.get(plan.release)
    variant = profiles.variants[plan.variant.name]
    minimum, planned = _memory(plan)
    return Needs(
        runtime=runtime,
        host=str(plan.value("host") or plan.request.host),
        port=int(str(plan.value("port") or plan.request.port)),
        units=plan.hardware.units,
        pinned=plan.hardware.pinned,
        release=plan.release,
        min_release=variant.mtp_min_release if plan.variant.draft_path else variant.min_release,
        minimum_mib=minimum,
        planned_mib=planned,
        transformers=release.transformers if release else None,
        cuda_majors=_cuda_majors(plan, profiles, runtime),
        models=_models(plan, checkpoint),
        largest_shard_bytes=checkpoint.largest_shard_bytes if checkpoint else None,
        module=switches.asked(environment(plan)),
        weights=not _loads_dummy_weights(plan.extra_args),
    )


def _checkpoint(plan: Plan, profiles: Profiles) -> Checkpoint | None:
    chosen = (plan.variant.name, plan.variant.checkpoint)
    return next((c for c in profiles.checkpoints if (c.variant, c.name) == chosen), None)


def _memory(plan: Plan) -> tuple[int | None, int | None]:
    """The least and the planned free memory of one GPU, in MiB."""
    capacity = plan.capacity
    if capacity is None:
        return None, None
    minimum = capacity.weights_mib_per_gpu + capacity.draft_mib_per_gpu + WORKING_MIB
    pools = capacity.kv_bytes_per_token * capacity.full_layer_tokens // MIB
    return minimum, minimum + pools


def _cuda_majors(plan: Plan, profiles: Profiles, runtime: Runtime) -> tuple[int, ...]:
    if plan.hardware.vendor != "nvidia":
        return ()
    if runtime == "docker":
        reference = plan.image.reference if plan.image else None
        image = next((i for i in profiles.images if i.reference == reference), None)
        return (int(image.cuda.split(".")[0]),) if image and image.cuda else ()
    release = profiles.releases.get(plan.release)
    return release.cuda_major if release else ()


def _models(plan: Plan, checkpoint: Checkpoint | None) -> tuple[ModelFiles, ...]:
    variant = plan.variant
    found = [
        ModelFiles(
            path=variant.model_path,
            local=variant.local,
            role="model",
            bytes=checkpoint.weight_bytes if checkpoint else None,
        )
    ]
    if variant.draft_path:
        found.append(
            ModelFiles(
                path=variant.draft_path,
                local=variant.draft_local,
                role="draft model",
                bytes=checkpoint.draft_bytes if checkpoint else None,
            )
        )
    return tuple(found)


def _loads_dummy_weights(extra_args: tuple[str, ...]) -> bool:
    words = [word for item in extra_args for word in item.split("=", 1)]
    return ("--load-format", "dummy") in pairwise(words)
