"""From the settings of an invocation to what a plan needs: request, inventory, profile table."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gemma4ctl import folders
from gemma4ctl.errors import PreflightError, UsageError
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.planning.request import Request
from gemma4ctl.printable import printable
from gemma4ctl.profiles import load, lookup
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.settings import BadValueError, Settings, gather, option_name, text

if TYPE_CHECKING:
    from pydantic import SecretStr

    from gemma4ctl.planning.plan import Plan

LARGEST_NODE = 72  # GPUs of the largest NVLink domain
Purpose = Literal["suggest", "serve", "docker"]

# SGLang's flags whose value is a secret: the shortest prefix that means them, and what to use.
SECRET_FLAGS = {
    "--api-key": ("--ap", "GEMMA4CTL_API_KEY, or --api-key-file FILE before --"),
    "--admin-api-key": ("--ad", "a file of mode 0600 that SGLang reads: -- --config FILE"),
    "--ssl-keyfile-password": ("--ssl-keyfile-", "a key file without a password, of mode 0600"),
}

DERIVED = {"extra_args", "origins", "api_key_config", "kernels_certified"}  # no options
# Request field -> setting, where the names differ.
RENAMED = {"tp": "tp_size", "modalities": "modality"}


class Inputs(NamedTuple):
    """What one invocation plans with."""

    request: Request
    inventory: Inventory
    profiles: Profiles
    settings: Settings
    api_key: SecretStr | None

    def plan(self) -> Plan:
        """The plan for these inputs."""
        from gemma4ctl.planning.engine import plan

        return plan(self.request, self.inventory, self.profiles, given=self.given)

    @property
    def given(self) -> dict[str, str]:
        """The options of this command line that name the host or the table."""
        names = ("hardware_file", "profiles")
        flags = [name for name in names if self.settings.origins.get(name) == "flag"]
        return {option_name(name): str(self.settings.get(name)) for name in flags}


def read(
    flags: Mapping[str, Any],
    extra: Sequence[str],
    purpose: Purpose,
    environment: Mapping[str, str] = os.environ,
) -> Inputs:
    """The inputs of an invocation with ``flags``, and ``extra`` after ``--``.

    Raises:
        UsageError: a value, name or file is bad, or two options conflict.
        PreflightError: ``serve`` finds no GPU.
    """
    _check_extra(extra)
    settings = gather(flags, environment)
    own = settings.get("profiles")
    profiles = load.load(Path(own) if own else None)
    model = _model(settings, profiles)
    inventory = _inventory(settings, profiles, purpose)
    api_key, key_file = _api_key(settings, environment, purpose)
    names = set(Request.model_fields) - DERIVED
    given = {name: settings.get(RENAMED.get(name, name)) for name in names}
    values = {name: value for name, value in given.items() if value is not None} | model
    if "hardware" in values:
        values["hardware"] = lookup.platform_name(profiles, str(values["hardware"]))
    if values.get("kernels", "auto") == "auto":
        values["kernels_certified"] = _certified(values, inventory, environment)
    origins = {
        name: settings.origins[RENAMED.get(name, name)]
        for name in names
        if RENAMED.get(name, name) in settings.origins
    }
    request = Request(**values, extra_args=tuple(extra), origins=origins, api_key_config=key_file)
    return Inputs(request, inventory, profiles, settings, api_key)


def _certified(
    values: Mapping[str, Any], inventory: Inventory, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """The releases for which the fused kernels are certified here."""
    from gemma4ctl.sglang_model.support import MEASURED

    if not MEASURED:
        return ()
    from gemma4ctl.certifying.lookup import certified_releases

    return certified_releases(values.get("model_path"), values["model"], inventory, environment)


def _check_extra(words: Sequence[str]) -> None:
    """Refuse what must not stand after ``--``: secrets, and words that are no text."""
    for word in words:
        flag = secret_flag(word)
        if flag is not None:
            raise UsageError(
                f"{flag} after -- would put a secret where every user of this machine can read it",
                needed="secrets from the environment or a file",
                found=word.partition("=")[0],
                remedies=[SECRET_FLAGS[flag][1]],
                code="secret-on-command-line",
            )
        try:
            text(word or "-")  # an empty value is SGLang's to judge
        except BadValueError as error:
            raise UsageError(
                f"{word!r} after -- cannot be used", needed=str(error), code="bad-value"
            ) from None


def secret_flag(word: str) -> str | None:
    """The flag with a secret value that ``word`` is to SGLang, which accepts prefixes."""
    name = word.partition("=")[0].replace("_", "-")
    for flag, (shortest, _) in SECRET_FLAGS.items():
        if flag.startswith(name) and name.startswith(shortest):
            return flag
    return None


def _model(settings: Settings, profiles: Profiles) -> dict[str, str]:
    """Variant, checkpoint and paths, from names, repository ids and folders."""
    name, path = settings.get("model"), settings.get("model_path")
    if name is None and path is None:
        raise UsageError(
            "no model is named",
            needed="--model " + ", ".join(profiles.variants),
            remedies=["gemma4ctl suggest --model 26B-A4B"],
            code="model-missing",
        )
    folder = _folder(path) or _folder(name)
    found: dict[str, str] = {}
    if name is not None and _folder(name) is None:
        found["model"] = lookup.variant_name(profiles, name)
        listed = lookup.checkpoint_by_id(profiles, name)
        if listed is not None and settings.get("checkpoint") is None:
            found["checkpoint"] = listed.name
    if folder is not None:
        found |= _from_folder(folder, found.get("model"), settings, profiles)
    elif path is not None:
        found["model_path"] = _absolute(path)
        found.setdefault("model", lookup.variant_name(profiles, path) if name is None else "")
    draft = settings.get("draft_path")
    if draft is not None:
        found["draft_path"] = str(_folder(draft) or _absolute(draft))
    return found


def _from_folder(
    folder: Path, named: str | None, settings: Settings, profiles: Profiles
) -> dict[str, str]:
    """What a local checkpoint says about itself; its draft is the folder ``<name>-assistant``."""
    variant = lookup.identify_folder(folder, profiles)
    if named is not None and named != variant:
        raise UsageError(
            f"{folder} holds Gemma 4 {variant}, not {named}",
            needed=f"a checkpoint of {named}",
            found=variant,
            remedies=[f"--model {variant}"],
            code="model-mismatch",
        )
    found = {"model": variant, "model_path": str(folder)}
    draft = folder.with_name(folder.name + "-assistant")
    if settings.get("mtp") and settings.get("draft_path") is None and draft.is_dir():
        found["draft_path"] = str(draft)
    return found


def _folder(text: str | None) -> Path | None:
    """The absolute path of an existing folder that ``text`` names."""
    if not text:
        return None
    path = folders.expanded(text)
    with suppress(OSError):  # a name longer than any file's
        return Path(os.path.abspath(path)) if path.is_dir() else None  # noqa: PTH100 - keeps links
    return None


def _absolute(path: str) -> str:
    """``path`` as an absolute one where it is written as a path; else it is a repository's name."""
    written = path.startswith(("./", "../", "~"))
    return os.path.abspath(folders.expanded(path)) if written else path  # noqa: PTH100


def _inventory(settings: Settings, profiles: Profiles, purpose: Purpose) -> Inventory:
    """The hardware to plan for: simulated, read from a file, or this machine."""
    name, file, gpus = (settings.get(key) for key in ("hardware", "hardware_file", "gpus"))
    if name is not None and file is not None:
        raise UsageError(
            "--hardware and --hardware-file exclude each other",
            found=f"{name} and {file}",
            code="conflicting-options",
        )
    if purpose == "serve" and (name or file):
        raise UsageError(
            "a server runs on this machine, which cannot simulate hardware",
            found="--hardware or --hardware-file",
            remedies=["gemma4ctl suggest with the same options prints the command"],
            code="conflicting-options",
        )
    if name is not None:
        return _simulated(str(name), gpus, profiles)
    from gemma4ctl.hardware.identify import identify

    if file is not None:
        from gemma4ctl.hardware.files import read_inventory

        return identify(read_inventory(Path(file)), profiles)
    return _local(identify(_detected(purpose), profiles), profiles, purpose)


def _simulated(name: str, gpus: int | tuple[str, ...] | None, profiles: Profiles) -> Inventory:
    from gemma4ctl.hardware.simulate import simulate

    platform = lookup.platform_name(profiles, name)
    if isinstance(gpus, tuple):
        raise UsageError(
            "--hardware takes a number of GPUs, not ids",
            found=",".join(gpus),
            needed="--gpus N",
            code="conflicting-options",
        )
    if gpus is not None and gpus > LARGEST_NODE:
        raise UsageError(
            f"{gpus} GPUs are more than one host has",
            needed=f"at most {LARGEST_NODE}",
            found=str(gpus),
            code="gpu-count",
        )
    return simulate(platform, gpus or profiles.platforms[platform].node_size, profiles)


def _detected(purpose: Purpose) -> Inventory:
    """What this machine has; with the SGLang on PATH, unless a container brings its own."""
    from gemma4ctl.hardware.detect import detect
    from gemma4ctl.launch.install import find_sglang

    inventory = detect()
    install = find_sglang(os.environ) if purpose != "docker" else None
    packages = {name: v for name, v in inventory.host.packages.items() if name != "sglang"}
    if install and install.release:
        packages["sglang"] = install.release
    host = inventory.host.model_copy(update={"packages": packages})
    return inventory.model_copy(update={"host": host})


def _local(inventory: Inventory, profiles: Profiles, purpose: Purpose) -> Inventory:
    """This machine, or a node of H200 where there is no GPU at all and nothing is launched."""
    if inventory.devices:
        return inventory
    if purpose == "serve":
        raise PreflightError(
            "no GPU found",
            needed="a GPU that SGLang supports, with its driver loaded",
            found="; ".join(inventory.problems) or "no NVIDIA or AMD device",
            remedies=["gemma4ctl detect", "gemma4ctl suggest --hardware H200 plans without one"],
            code="no-gpu",
        )
    from gemma4ctl.hardware.simulate import default_inventory

    inventory = default_inventory(profiles)
    say(
        f"no GPU found here: planning for {len(inventory.devices)} x H200; "
        "use --hardware for other hardware"
    )
    return inventory


def _api_key(
    settings: Settings, environment: Mapping[str, str], purpose: Purpose
) -> tuple[SecretStr | None, str | None]:
    """The API key, and the path of the file through which SGLang will get it."""
    from gemma4ctl.secrets import config_path, find_api_key, launch_config_path

    key = find_api_key(environment, settings.get("api_key_file"))
    if key is None:
        return None, None
    place = launch_config_path if purpose == "serve" else config_path
    return key, str(place(environment, settings.get("port", 30000)))


def say(message: str) -> None:
    """A message for the person, on stderr."""
    print(f"gemma4ctl: {printable(message)}", file=sys.stderr)
