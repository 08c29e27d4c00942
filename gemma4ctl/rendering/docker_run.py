"""The ``docker run`` form of a plan, as an argument vector and for the shell."""

from __future__ import annotations

import csv
import io

from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import command
from gemma4ctl.rendering.container import ContainerSpec, HostContext, Mount, Publish, container
from gemma4ctl.rendering.shell import join_lines


def docker_argv(
    plan: Plan, host: HostContext | None = None, *, name: str | None = None
) -> list[str]:
    """The argument vector of ``docker run`` for ``plan``, made for ``host`` (default: this one).

    ``name`` names the container. Raises what :func:`~gemma4ctl.rendering.container.container`
    raises.
    """
    return [word for line in _lines(container(plan, host), name) for word in line]


def docker_shell(plan: Plan, host: HostContext | None = None, *, name: str | None = None) -> str:
    """The same command for ``/bin/sh``, one option a line; no trailing newline."""
    return shell_of(container(plan, host), name=name)


def shell_of(spec: ContainerSpec, *, name: str | None = None) -> str:
    """The command that runs ``spec``, as :func:`docker_shell` writes it."""
    return join_lines(_lines(spec, name))


def _lines(spec: ContainerSpec, name: str | None) -> list[list[str]]:
    """The words of the command, an option a line."""
    options = [
        *([("--name", name)] if name else []),
        *_device_options(spec),
        *_limit_options(spec),
        ("--publish", _publish(spec.publish)),
        *[("--env", env_name) for env_name in spec.env_names],
        *[("--env", f"{env_name}={value}") for env_name, value in spec.env.items()],
        *[_mount(mount) for mount in spec.mounts],
    ]
    inside = command.lines(spec.argv, head=len(command.ENTRY))
    return [
        ["docker", "run", "--rm", "--init"],
        *[list(option) for option in options],
        [spec.image, *inside[0]],
        *inside[1:],
    ]


def _device_options(spec: ContainerSpec) -> list[tuple[str, str]]:
    options = [("--device", device) for device in spec.devices]
    options += [("--group-add", group) for group in spec.groups]
    if isinstance(spec.gpus, int):
        options.append(("--gpus", str(spec.gpus)))
    elif spec.gpus is not None:
        # The value is a CSV record of its own: the quotes keep the ids in one field.
        options.append(("--gpus", f'"device={",".join(spec.gpus)}"'))
    return options


def _limit_options(spec: ContainerSpec) -> list[tuple[str, str]]:
    return [
        *[("--security-opt", option) for option in spec.security_options],
        *[("--cap-drop", capability) for capability in spec.cap_drop],
        *[("--cap-add", capability) for capability in spec.cap_add],
        ("--shm-size", f"{spec.shm_gib}g"),
        *[("--ulimit", f"{limit}={value}") for limit, value in spec.ulimits.items()],
        ("--stop-timeout", str(spec.stop_timeout_s)),
    ]


def _publish(publish: Publish) -> str:
    address = f"[{publish.address}]" if ":" in publish.address else publish.address
    return f"{address}:{publish.port}:{publish.port}"


def _mount(mount: Mount) -> tuple[str, str]:
    """``--volume`` for what Docker may create, unless a colon in the path forbids it."""
    if mount.kind == "volume" or (mount.create and ":" not in mount.source):
        return "--volume", f"{mount.source}:{mount.target}"
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    if mount.read_only:
        fields.append("readonly")
    record = io.StringIO()
    csv.writer(record).writerow(fields)
    return "--mount", record.getvalue().removesuffix("\r\n")
