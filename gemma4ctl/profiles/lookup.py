"""Questions about the profile table, as pure functions.

Names are matched without regard to case, blanks, hyphens and underscores. An unknown name is a
:class:`~gemma4ctl.errors.UsageError` with the nearest names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from gemma4ctl.errors import UsageError
from gemma4ctl.hardware.inventory import Vendor
from gemma4ctl.profiles.table import AutoSize, Cell, Checkpoint, Image, Profiles, Variant

MAX_CONFIG_BYTES = 1 << 20


def variant_name(profiles: Profiles, text: str) -> str:
    """The variant that ``text`` names: "26b-a4b", "gemma-4-e2b", or the id of a checkpoint.

    Raises:
        UsageError: no variant has that name.
    """
    names = _variant_names(profiles)
    found = names.get(_plain(text))
    if found:
        return found
    if text.casefold() in {(c.draft or "").casefold() for c in profiles.checkpoints}:
        raise UsageError(
            f"{text} is an MTP draft, not a model to serve",
            remedies=[f"name the model: {text.removesuffix('-assistant')}", "use --mtp for drafts"],
            code="model-is-draft",
        )
    if text.startswith(("/", "./", "../", "~")):
        raise UsageError(
            f"there is no folder {text}",
            needed="a folder with config.json and the safetensors files of a Gemma 4",
            remedies=["check the path; a name alone: " + ", ".join(profiles.variants)],
            code="model-folder-missing",
        )
    other = [f"--model NAME --model-path {text} serves other weights of a model"]
    raise _unknown("model", text, names, "model-unknown", other if "/" in text else [])


def _variant_names(profiles: Profiles) -> dict[str, str]:
    """Every accepted spelling, plain, with its variant."""
    names: dict[str, str] = {}
    for name in profiles.variants:
        short = name.split("-")[0]  # 26B for 26B-A4B
        for base in {name, short}:
            for spelling in (base, f"gemma-4-{base}", f"gemma-4-{base}-it"):
                names[_plain(spelling)] = names[_plain(f"google/{spelling}")] = name
    for checkpoint in profiles.checkpoints:
        names[_plain(checkpoint.id)] = names[_plain(checkpoint.id.split("/")[-1])] = (
            checkpoint.variant
        )
    return names


def checkpoint(profiles: Profiles, variant: str, name: str) -> Checkpoint:
    """The checkpoint ``name`` ("bf16", "qat", ...) of ``variant``.

    Raises:
        UsageError: the variant has no such checkpoint.
    """
    named = {_plain(c.name): c for c in profiles.checkpoints if c.variant == variant}
    found = named.get(_plain(name))
    if found is None:
        spellings = {plain: entry.name for plain, entry in named.items()}
        raise _unknown(f"checkpoint of {variant}", name, spellings, "checkpoint-unknown")
    return found


def checkpoint_by_id(profiles: Profiles, text: str) -> Checkpoint | None:
    """The checkpoint whose repository is ``text`` (any case, with or without owner), or None."""
    for entry in profiles.checkpoints:
        if text.casefold() in (entry.id.casefold(), entry.id.split("/")[-1].casefold()):
            return entry
    return None


def identify_folder(path: Path, profiles: Profiles) -> str:
    """The variant that the ``config.json`` of a local checkpoint folder describes.

    Raises:
        UsageError: no readable ``config.json``, an MTP draft, or another model.
    """
    config = _read_config(path)
    model_type = str(config.get("model_type"))
    architectures = config.get("architectures")
    architecture = (
        str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    )
    if "assistant" in f"{model_type} {architecture}".casefold():
        raise UsageError(
            f"{path} holds an MTP draft ({architecture or model_type}), not a model to serve",
            remedies=["give the folder of the model with --model-path; --mtp adds the draft"],
            code="model-is-draft",
        )
    text_config = config.get("text_config")
    text = text_config if isinstance(text_config, dict) else {}
    for name, variant in profiles.variants.items():
        if architecture == variant.architecture and _same_shape(text, variant):
            return name
    raise UsageError(
        f"{path} is not a Gemma 4 model that gemma4ctl knows",
        needed=f"config.json of one of {', '.join(profiles.variants)}",
        found=f"{architecture or 'no architecture'}, model_type {model_type}, hidden_size "
        f"{text.get('hidden_size')}, {text.get('num_hidden_layers')} layers",
        remedies=["check the folder given as the model"],
        code="model-folder-unknown",
    )


def _same_shape(text: Mapping[str, Any], variant: Variant) -> bool:
    layers = variant.layers.sliding + variant.layers.full
    return text.get("hidden_size") == variant.hidden_size and (
        text.get("num_hidden_layers") == layers
    )


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError(f"larger than {MAX_CONFIG_BYTES} bytes")
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"{file}: cannot read the model's configuration",
            found=reason or type(error).__name__,
            remedies=["give a folder that holds config.json and the safetensors files"],
            code="model-folder-unreadable",
        ) from error
    return config if isinstance(config, dict) else {}


def platform_name(profiles: Profiles, text: str) -> str:
    """The platform that ``text`` names: "h200", "RTX 4090", "a100", or a driver's device name.

    Raises:
        UsageError: no platform has that name.
    """
    plain = {_plain(name): name for name in profiles.platforms}
    plain |= {_plain(row.title): name for name, row in profiles.platforms.items()}
    plain |= {_plain(alias): name for alias, name in _ALIASES.items() if name in profiles.platforms}
    found = plain.get(_plain(text)) or match_device(profiles, text, None)
    if found is None:
        raise _unknown("platform", text, plain, "platform-unknown")
    return found


_ALIASES = {"A100": "A100-80G", "RTX PRO 6000 Blackwell": "RTX-PRO-6000", "DGX Spark": "GB10"}


def match_device(profiles: Profiles, device_name: str, memory_mib: int | None) -> str | None:
    """The platform of a device as its driver names it, or None.

    A row with a memory range does not match a device whose memory is known to be outside it.
    """
    for name, row in profiles.platforms.items():
        if not any(re.search(pattern, device_name, re.IGNORECASE) for pattern in row.names):
            continue
        low, high = row.memory_range_mib or (0, 1 << 62)
        if memory_mib is None or low <= memory_mib <= high:
            return name
    return None


def cell(
    profiles: Profiles, variant: str, platform: str, line: str, mtp: bool | None
) -> Cell | None:
    """The published settings for exactly these, preferring a row made for this ``mtp``."""
    rows = profiles.cells_by_place.get((variant, platform, line), ())
    fitting = [row for row in rows if row.mtp in (mtp, None)]
    return min(fitting, key=lambda row: row.mtp is None, default=None)


def images(
    profiles: Profiles,
    *,
    vendor: Vendor,
    release: str,
    architecture: str | None = None,
    cpu_architecture: str | None = None,
    variant: str | None = None,
    cuda_major: int | None = None,
) -> tuple[Image, ...]:
    """The images that fit, best first: verified before guessed, then in the table's order.

    Args:
        vendor: of the GPUs.
        release: of SGLang; development builds are never returned.
        architecture: of the GPUs, "sm_90"; None: any.
        cpu_architecture: of the host, "x86_64" or "aarch64"; None: any.
        variant: that the image must be able to serve; None: any.
        cuda_major: the newest that the driver supports; None: unknown, any.
    """

    def fits(image: Image) -> bool:
        return (
            image.vendor == vendor
            and _within(architecture, image.gpu_architectures)
            and _within(variant, image.variants)
            and (cpu_architecture is None or cpu_architecture in image.cpu_architectures)
            and (cuda_major is None or image.cuda is None or _major(image.cuda) <= cuda_major)
        )

    found = filter(fits, profiles.images_by_release.get(release, ()))
    return tuple(sorted(found, key=lambda image: image.status == "guess"))


def auto_size(profiles: Profiles, release: str, memory_mib: int) -> AutoSize | None:
    """What SGLang ``release`` picks for GPUs of which the smallest has ``memory_mib``."""
    order = list(profiles.releases)
    since = [
        row.since for row in profiles.auto_sizes if order.index(row.since) <= order.index(release)
    ]
    if not since:
        return None
    newest = max(since, key=order.index)
    rows = [
        row
        for row in profiles.auto_sizes
        if row.since == newest and (row.below_mib is None or memory_mib < row.below_mib)
    ]
    return min(rows, key=lambda row: row.below_mib or 1 << 62, default=None)


def release_name(profiles: Profiles, text: str) -> str:
    """The release that ``text`` names ("0.5.16", "v0.5.16").

    Raises:
        UsageError: the table does not describe that release.
    """
    name = text.strip().removeprefix("v")
    if name not in profiles.releases:
        known = {release: release for release in profiles.releases}
        raise _unknown("SGLang release", text, known, "release-unknown")
    return name


def _within(value: str | None, accepted: tuple[str, ...]) -> bool:
    return value is None or not accepted or value in accepted


def _major(version: str) -> int:
    return int(version.split(".")[0])


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text).casefold()


def _unknown(
    kind: str, text: str, known: Mapping[str, str], code: str, remedies: Sequence[str] = ()
) -> UsageError:
    """The error for a name that is no key of ``known``, which maps spellings to names."""
    names = list(dict.fromkeys(known.values()))
    close = get_close_matches(_plain(text), list(known), n=5)
    suggested = list(dict.fromkeys(known[spelling] for spelling in close))[:2]
    return UsageError(
        f"unknown {kind}: {text}",
        needed=f"one of {', '.join(names)}",
        remedies=[*([f"did you mean {' or '.join(suggested)}?"] if suggested else []), *remedies],
        code=code,
    )
