"""The machine-readable form of a plan: the object that ``--json`` prints.

Its shape is published as :class:`gemma4ctl.rendering.schema.PlanDocument`.
"""

from __future__ import annotations

from typing import Any

from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import command
from gemma4ctl.rendering.container import HostContext
from gemma4ctl.rendering.docker_run import docker_argv
from gemma4ctl.rendering.shell import shell

HARDWARE = ("platform", "vendor", "gpu_count", "memory_mib", "source")
VARIANT = ("name", "model_path", "checkpoint")
WARNING = ("code", "severity", "message", "remedy")


def plan_document(plan: Plan, host: HostContext | None = None) -> dict[str, Any]:
    """``plan`` as a JSON-ready object, made on ``host``."""
    content = plan.content
    return {
        "schema_version": 1,
        "gemma4ctl_version": plan.gemma4ctl_version,
        "request": content["request"],
        "hardware": _part(content["hardware"], HARDWARE),
        "variant": _part(content["variant"], VARIANT),
        "command": {
            "argv": command.argv(plan),
            "env": command.environment(plan),
            "shell": shell(plan, one_line=True),
        },
        "docker": _docker(plan, host),
        "decisions": content["decisions"],
        "capacity": content["capacity"],
        "warnings": [_part(warning, WARNING) for warning in content["warnings"]],
    }


def _docker(plan: Plan, host: HostContext | None) -> dict[str, Any] | None:
    if plan.image is None:
        return None
    return {"argv": docker_argv(plan, host), "image": plan.image.reference}


def _part(record: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields of ``record`` that are published."""
    return {name: record[name] for name in fields}
