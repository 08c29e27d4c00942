"""The machine-readable form of a plan: the object that ``--json`` prints."""

from __future__ import annotations

from typing import Any, Literal

from gemma4ctl.hardware.inventory import Source, Vendor
from gemma4ctl.model import Model
from gemma4ctl.planning.plan import Decision, Plan, Severity
from gemma4ctl.planning.request import Request
from gemma4ctl.rendering import command
from gemma4ctl.rendering.container import HostContext
from gemma4ctl.rendering.docker_run import docker_argv
from gemma4ctl.rendering.shell import shell


class HardwareDocument(Model):
    """The devices the plan uses. ``memory_mib`` is the total of one of them."""

    platform: str
    vendor: Vendor
    gpu_count: int
    memory_mib: int | None
    source: Source


class VariantDocument(Model):
    """The weights that are served."""

    name: str
    model_path: str
    checkpoint: str


class CommandDocument(Model):
    """The command outside a container; ``shell`` is argv and env on one line for a POSIX shell."""

    argv: tuple[str, ...]
    env: dict[str, str]
    shell: str


class DockerDocument(Model):
    """The same plan as a ``docker run`` command."""

    argv: tuple[str, ...]
    image: str


class CapacityDocument(Model):
    """What the memory of one GPU holds, in MiB, bytes and tokens."""

    weights_mib_per_gpu: int
    kv_bytes_per_token: int
    full_layer_tokens: int
    swa_layer_tokens: int
    max_concurrent_requests: int
    max_context_tokens: int


class WarningDocument(Model):
    """Something the user should know, with what to do about it."""

    code: str
    severity: Severity
    message: str
    remedy: str


class PlanDocument(Model):
    """One plan. ``docker`` and ``capacity`` are null where there is no image or no memory model."""

    schema_version: Literal[1] = 1
    gemma4ctl_version: str
    request: Request
    hardware: HardwareDocument
    variant: VariantDocument
    command: CommandDocument
    docker: DockerDocument | None
    decisions: tuple[Decision, ...]
    capacity: CapacityDocument | None
    warnings: tuple[WarningDocument, ...]


def plan_document(plan: Plan, host: HostContext | None = None) -> dict[str, Any]:
    """``plan`` as the JSON-ready object of :class:`PlanDocument`, made on ``host``."""
    document = PlanDocument(
        gemma4ctl_version=plan.gemma4ctl_version,
        request=plan.request,
        hardware=_part(HardwareDocument, plan.hardware),
        variant=_part(VariantDocument, plan.variant),
        command=CommandDocument(
            argv=tuple(command.argv(plan)),
            env=command.environment(plan),
            shell=shell(plan, one_line=True),
        ),
        docker=_docker(plan, host),
        decisions=plan.decisions,
        capacity=_part(CapacityDocument, plan.capacity) if plan.capacity else None,
        warnings=tuple(_part(WarningDocument, warning) for warning in plan.warnings),
    )
    return document.model_dump(mode="json")


def _docker(plan: Plan, host: HostContext | None) -> DockerDocument | None:
    if plan.image is None:
        return None
    return DockerDocument(argv=tuple(docker_argv(plan, host)), image=plan.image.reference)


def _part(document: type[Any], record: Model) -> Any:
    """The fields of ``record`` that ``document`` publishes."""
    return document(**{name: getattr(record, name) for name in document.model_fields})
