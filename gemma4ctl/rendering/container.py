"""The container form of a plan as data: the one place where it may differ from the shell form.

The differences, and no others: the server binds 0.0.0.0 inside and its port is published on the
address of the plan; local checkpoints are mounted read-only under ``/models`` and the argv names
that place; the container runtime chooses NVIDIA GPUs instead of ``CUDA_VISIBLE_DEVICES``; caches
and secrets are mounts. ``docker run`` and Compose are spellings of one :class:`ContainerSpec`.

Privileges are the least that is known to work with SGLang's images, which run as root: no
``--privileged``, no host network, PID or IPC namespace, no new privileges, and Docker's default
capabilities less those no server needs. They are not all dropped, because root must stay able to
read a 0600 key file and write a cache that belong to the user on the host (DAC_OVERRIDE).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from gemma4ctl import folders
from gemma4ctl.errors import NoPlanError, UsageError
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering import command, own_package
from gemma4ctl.sglang_model import switches

BIND_ADDRESS = "0.0.0.0"  # noqa: S104 - inside the container; the published address is the plan's
SGLANG_PORT = 30000  # SGLang's own default, where the argv names no port
MODEL_FLAGS = (
    ("--model-path", "--model"),
    ("--speculative-draft-model-path", "--speculative-draft-model"),
    ("--tokenizer-path",),
)
CACHE_HOME = "/root/.cache"
HF_HOME = f"{CACHE_HOME}/huggingface"
OWNER_NOTE = "The container runs as root: weights that it downloads into your cache belong to root."
CONFIG_TARGET = "/run/secrets/sglang.yaml"  # SGLang insists on the suffix
MODULE_HOME = "/opt/gemma4ctl"  # of the bundled model module, where the plan switches it on

# Compilers whose caches are outside ~/.cache by default. FlashInfer, TVM-FFI, DeepGEMM and SGLang
# itself already write below it, and images ship prebuilt FlashInfer kernels there.
KERNEL_CACHES = {
    "TRITON_CACHE_DIR": f"{CACHE_HOME}/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{CACHE_HOME}/inductor",
    "CUDA_CACHE_PATH": f"{CACHE_HOME}/nv",
}
ENV_BY_NAME = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")
NVIDIA_SELECTORS = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
UNNEEDED_CAPABILITIES = ("AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT")
USER_LIMITS = {"memlock": -1, "stack": 67108864}  # as SGLang's own compose file sets them
DEVICE_LINKS = "/dev/dri/by-path"
VIDEO_GROUP = "44"  # fixed in Debian and Ubuntu; the number of "render" differs between hosts
STOP_TIMEOUT_S = 120  # SGLang drains running requests after SIGTERM; Docker's default is 10 s


class HostContext(NamedTuple):
    """What the container form takes from the host it is made on.

    ``device_groups`` are the group ids that own AMD's device files, empty where there are none.
    ``module`` are gemma4ctl's package folder and its metadata, by which SGLang finds the plugin;
    empty: those that run.
    """

    hf_home: str
    hf_hub_cache: str | None = None
    device_groups: tuple[str, ...] = ()
    module: tuple[str, ...] = ()


class Mount(NamedTuple):
    """Something of the host inside the container.

    ``source`` is an absolute host path ("bind", "secret") or a volume name ("volume");
    ``create`` lets Docker make a missing host folder.
    """

    kind: Literal["bind", "volume", "secret"]
    source: str
    target: str
    read_only: bool = False
    create: bool = False


class Publish(NamedTuple):
    """A published TCP port. ``address`` is a host IP address, IPv6 without brackets."""

    address: str
    port: int


class ContainerSpec(NamedTuple):
    """One container: what Docker and Compose must both say.

    ``gpus``: ids (UUIDs) or a count for the NVIDIA runtime, None where it is not used.
    ``env_names`` are passed from the caller's environment, values unseen. ``shm_gib`` sizes
    ``/dev/shm``. ``notes`` are sentences for the reader of a generated file.
    """

    image: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    env_names: tuple[str, ...]
    mounts: tuple[Mount, ...]
    gpus: tuple[str, ...] | int | None
    devices: tuple[str, ...]
    groups: tuple[str, ...]
    publish: Publish
    shm_gib: int
    ulimits: Mapping[str, int]
    cap_drop: tuple[str, ...]
    cap_add: tuple[str, ...]
    security_options: tuple[str, ...]
    stop_timeout_s: int
    notes: tuple[str, ...]


def this_host(environ: Mapping[str, str] = os.environ, dev: Path = Path("/dev")) -> HostContext:
    """The context of the machine this runs on: Hugging Face cache folders and device groups."""
    hub = folders.hub_cache(environ)
    nodes = [dev / "kfd", *sorted(dev.glob("dri/renderD*"))]
    groups = {node.stat().st_gid for node in nodes if node.exists()} - {0}
    return HostContext(
        hf_home=_absolute(folders.hugging_face(environ)),
        hf_hub_cache=_absolute(hub) if hub else None,
        device_groups=tuple(str(group) for group in sorted(groups)),
    )


def container(plan: Plan, host: HostContext | None = None) -> ContainerSpec:
    """The container that runs ``plan``, as made on ``host`` (default: this machine).

    Raises:
        NoPlanError: no image is known for the plan.
        UsageError: the plan's host is a name; a port can only be published on an IP address.
    """
    host = host or this_host()
    image = image_of(plan)
    arguments, checkpoints = _with_mounted_checkpoints(plan, command.argv(plan))
    arguments, secrets = _with_mounted_config(arguments)
    publish = _published(arguments)
    environment = _environment(plan)
    module = _module(host) if switches.asked(environment) else ()
    if module:
        environment["PYTHONPATH"] = MODULE_HOME
    on_cpu = command.flag_value(arguments, "--device") == "cpu"
    devices = _devices(plan, on_cpu)
    groups, notes = _groups(plan, devices, host)
    links = _device_links(plan, devices)
    return ContainerSpec(
        image=image,
        argv=tuple(_bound_inside(arguments)),
        env=environment,
        env_names=tuple(name for name in ENV_BY_NAME if name not in environment),
        mounts=(*_caches(plan, image, host), *checkpoints, *module, *links, *secrets),
        gpus=_gpus(plan),
        devices=devices,
        groups=groups,
        publish=publish,
        shm_gib=_shm_gib(plan),
        ulimits=USER_LIMITS,
        cap_drop=UNNEEDED_CAPABILITIES,
        cap_add=_capabilities(on_cpu),
        security_options=_security_options(plan),
        stop_timeout_s=STOP_TIMEOUT_S,
        notes=(
            *_image_notes(plan),
            *notes,
            *own_package.notes(
                [mount.source for mount in module], switches.shared_kv_asked(environment)
            ),
            OWNER_NOTE,
        ),
    )


def image_of(plan: Plan) -> str:
    """The plan's image.

    Raises:
        NoPlanError: no image is known for the plan.
    """
    if plan.image is None:
        raise NoPlanError(
            f"No container image is known for SGLang {plan.release} on {plan.hardware.platform}.",
            needed="an image that holds SGLang built for this device",
            remedies=("--image NAME:TAG with an image of your own",),
            code="no-image",
        )
    return plan.image.reference


def _image_notes(plan: Plan) -> tuple[str, ...]:
    if plan.image is None or plan.image.status != "guess":
        return ()
    return ("The name of the image is a guess that nobody has checked: `docker pull` it first.",)


def _absolute(path: str | Path) -> str:
    """``path`` as an absolute path; links are left as they are."""
    return str(Path(path).absolute())


def _environment(plan: Plan) -> dict[str, str]:
    """The plan's variables without the runtime's own choice of devices, and the cache folders."""
    planned = command.environment(plan)
    if plan.hardware.vendor == "nvidia":
        planned = {name: value for name, value in planned.items() if name not in NVIDIA_SELECTORS}
    return {**KERNEL_CACHES, "HF_HOME": HF_HOME, **planned}


def _caches(plan: Plan, image: str, host: HostContext) -> list[Mount]:
    """Compiled kernels in a volume of their own image and GPU architecture, weights of the host.

    A named volume starts as a copy of what the image holds at that place, so prebuilt kernels
    are kept.
    """
    key = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{image}-{plan.hardware.architecture}")
    mounts = [
        Mount("volume", f"gemma4ctl-cache-{key}", CACHE_HOME),
        Mount("bind", host.hf_home, HF_HOME, create=True),
    ]
    if host.hf_hub_cache:
        mounts.append(Mount("bind", host.hf_hub_cache, f"{HF_HOME}/hub", create=True))
    return mounts


def _module(host: HostContext) -> tuple[Mount, ...]:
    """The bundled model module: SGLang's own packages stay the container's."""
    return tuple(
        Mount("bind", folder, f"{MODULE_HOME}/{Path(folder).name}", read_only=True)
        for folder in host.module or own_package.folders()
    )


def _with_mounted_checkpoints(plan: Plan, argv: list[str]) -> tuple[list[str], list[Mount]]:
    """``argv`` with local checkpoint folders named by their place in the container."""
    variant = plan.variant
    local = {
        path
        for path, is_local in (
            (variant.model_path, variant.local),
            (variant.draft_path, variant.draft_local),
        )
        if is_local
    }
    mounts: dict[str, Mount] = {}
    for flags in MODEL_FLAGS:
        path = command.flag_value(argv, *flags)
        if path is None or not (path in local or path.startswith("/")):
            continue
        folder, inside = _mounted_folder(_absolute(path))
        if folder not in mounts:
            target = _free_target(folder, {mount.target for mount in mounts.values()})
            mounts[folder] = Mount("bind", folder, target, read_only=True)
        place = str(PurePosixPath(mounts[folder].target, inside))
        argv = command.with_flag_value(argv, place, *flags)
    return argv, list(mounts.values())


def _mounted_folder(path: str) -> tuple[str, str]:
    """The folder to mount so that ``path`` is complete, and the place of ``path`` in it.

    A snapshot in a Hugging Face cache is links into the ``blobs`` beside it: the whole repository
    is mounted.
    """
    cached = re.fullmatch(r"(?s)(.*/models--[^/]+)/(snapshots/[^/]+)", path)
    return (cached[1], cached[2]) if cached else (path, "")


def _free_target(folder: str, taken: set[str]) -> str:
    """A readable place below /models for ``folder``, different from those ``taken``."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(folder).name).strip("-.") or "checkpoint"
    target, number = f"/models/{name}", 2
    while target in taken:
        target, number = f"/models/{name}-{number}", number + 1
    return target


def _with_mounted_config(argv: list[str]) -> tuple[list[str], list[Mount]]:
    """``argv`` with SGLang's config file, which may hold the API key, read from a secret mount."""
    path = command.flag_value(argv, "--config")
    if path is None:
        return argv, []
    secret = Mount("secret", _absolute(path), CONFIG_TARGET, read_only=True)
    return command.with_flag_value(argv, CONFIG_TARGET, "--config"), [secret]


def _published(argv: list[str]) -> Publish:
    """Where the port of ``argv`` is published: on the address the server would have bound."""
    host = command.flag_value(argv, "--host") or "127.0.0.1"
    port = command.flag_value(argv, "--port") or str(SGLANG_PORT)
    try:
        address = _ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError as error:
        raise UsageError(
            f"A container's port cannot be published on the name {host!r}.",
            needed="an IP address of this host",
            remedies=("--host 127.0.0.1 for this host only", f"--host {BIND_ADDRESS} for all"),
            code="publish-address",
        ) from error
    return Publish(address, int(port))


@lru_cache(maxsize=256)
def _ip_address(text: str) -> str:
    """``text`` as IP addresses are usually written; raises :class:`ValueError`."""
    return str(ipaddress.ip_address(text))


def _bound_inside(argv: list[str]) -> list[str]:
    """``argv`` with the server listening on every address of the container."""
    if command.flag_value(argv, "--host") is None:
        return [*argv, "--host", BIND_ADDRESS]
    return command.with_flag_value(argv, BIND_ADDRESS, "--host")


def _gpus(plan: Plan) -> tuple[str, ...] | int | None:
    """What the NVIDIA runtime is asked for: the chosen units by id, or as many as the plan uses."""
    if plan.hardware.vendor != "nvidia":
        return None
    if plan.hardware.pinned:
        return tuple(unit.id for unit in plan.hardware.units)
    return plan.hardware.gpu_count


def _devices(plan: Plan, on_cpu: bool) -> tuple[str, ...]:
    """Device files. Which render nodes belong to the chosen AMD GPUs is not known.

    So all are passed, and ``ROCR_VISIBLE_DEVICES`` stays in the environment to choose among them.
    """
    if plan.hardware.vendor == "amd":
        return ("/dev/kfd", "/dev/dri")
    if plan.hardware.vendor == "intel" and not on_cpu:
        return ("/dev/dri",)
    return ()


def _device_links(plan: Plan, devices: tuple[str, ...]) -> tuple[Mount, ...]:
    """The links by which Intel's runtime tells its GPUs apart.

    ``--device /dev/dri`` makes the device files only, without the links beside them.
    """
    if plan.hardware.vendor != "intel" or not devices:
        return ()
    return (Mount("bind", DEVICE_LINKS, DEVICE_LINKS, read_only=True),)


def _groups(
    plan: Plan, devices: tuple[str, ...], host: HostContext
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The numbers of the groups that own the device files, and a note where they are not known.

    Numbers, because a name is looked up in the image, which may not have it.
    """
    if not devices:
        return (), ()
    if host.device_groups and plan.hardware.source not in ("flag", "default", "file"):
        return host.device_groups, ()
    nodes = "/dev/kfd " * (plan.hardware.vendor == "amd") + "/dev/dri/renderD*"
    note = (
        f"Group {VIDEO_GROUP} is video on Debian and Ubuntu. On the GPU host, give the numbers "
        f"that `stat -c %g {nodes}` prints."
    )
    return (VIDEO_GROUP,), (note,)


def _shm_gib(plan: Plan) -> int:
    """The size of /dev/shm, which ranks exchange images and collectives through.

    16 GiB and 8 more for each further rank (SGLang's documentation uses 16 and 32). A private
    /dev/shm of that size instead of ``--ipc=host``: other processes of the host stay out of
    reach. It is a limit, taken from RAM only as it is used.
    """
    return 8 + 8 * max(plan.hardware.gpu_count, 1)


def _capabilities(on_cpu: bool) -> tuple[str, ...]:
    """SYS_NICE on CPUs: Docker allows the NUMA calls that place each rank only with it."""
    return ("SYS_NICE",) if on_cpu else ()


def _security_options(plan: Plan) -> tuple[str, ...]:
    """No new privileges; several AMD GPUs share memory by calls that Docker's filter blocks."""
    options = ["no-new-privileges:true"]
    if plan.hardware.vendor == "amd" and plan.hardware.gpu_count > 1:
        options.append("seccomp=unconfined")
    return tuple(options)
