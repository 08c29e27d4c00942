"""Checks of the model files: a folder, the Hugging Face cache, or a download to come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gemma4ctl import folders
from gemma4ctl.launch.preflight.check import Check, fail, gib, ok, warn
from gemma4ctl.launch.preflight.needs import MIB, ModelFiles

_TRUE = {"1", "ON", "YES", "TRUE"}


def hub_cache(environment: Mapping[str, str]) -> Path:
    """The folder where huggingface_hub keeps models."""
    return folders.hub_cache(environment) or folders.hugging_face(environment) / "hub"


def is_offline(environment: Mapping[str, str]) -> bool:
    """Whether the environment forbids huggingface_hub the network."""
    values = (environment.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in _TRUE for value in values)


def token_source(environment: Mapping[str, str]) -> str | None:
    """Where huggingface_hub will find a token; None when nowhere. The token is not read."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environment.get(variable):
            return variable
    path = environment.get("HF_TOKEN_PATH")
    file = folders.expanded(path) if path else folders.hugging_face(environment) / "token"
    return str(file) if file.is_file() else None


def cached_snapshot(repository: str, cache: Path) -> Path | None:
    """The folder of the cached main revision of ``repository``; None when it is not cached."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    snapshot = folder / "snapshots" / revision
    return snapshot if (snapshot / "config.json").is_file() else None


def missing_weights(folder: Path) -> str | None:
    """What is missing of the weights in ``folder``; None when they are complete."""
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        shards = sorted(set(index["weight_map"].values()))
    except OSError:
        found = any(folder.glob("*.safetensors"))
        return None if found else "no *.safetensors files"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "model.safetensors.index.json is damaged"
    absent = [shard for shard in shards if not (folder / shard).is_file()]
    return f"{len(absent)} of {len(shards)} weights files" if absent else None


def is_cached(model: ModelFiles, environment: Mapping[str, str], *, weights: bool) -> bool:
    """Whether nothing of ``model`` has to be downloaded."""
    snapshot = cached_snapshot(model.path, hub_cache(environment))
    return snapshot is not None and not (weights and missing_weights(snapshot))


def check_model(model: ModelFiles, environment: Mapping[str, str], *, weights: bool) -> Check:
    """The model is in its folder or in the cache, or can be downloaded."""
    if model.local:
        return _check_folder(model, weights=weights)
    if is_cached(model, environment, weights=weights):
        return ok(model.role, f"{model.path}, in the cache", f"{model.path}")
    size = f" ({gib(model.bytes / MIB)})" if model.bytes else ""
    cache = hub_cache(environment)
    if is_offline(environment):
        return fail(
            model.role,
            f"{model.path} is not in {cache}, and HF_HUB_OFFLINE forbids a download",
            model.path,
            f"`hf download {model.path}` with the network, --model-path FOLDER, "
            "or unset HF_HUB_OFFLINE",
        )
    endpoint = environment.get("HF_ENDPOINT") or "https://huggingface.co"
    token = token_source(environment)
    return warn(
        model.role,
        f"not in {cache}; SGLang will download it from {endpoint}{size}",
        model.path,
        f"`hf download {model.path}` first makes the start quick"
        + ("" if token else "; a private or gated repository needs HF_TOKEN, which is not set"),
    )


def _check_folder(model: ModelFiles, *, weights: bool) -> Check:
    folder = folders.expanded(model.path)
    needed = f"{folder} with config.json" + (" and weights" if weights else "")
    remedy = "check --model-path and --draft-path, or download the model again"
    if not folder.is_dir():
        return fail(model.role, "no such folder", needed, remedy)
    if not (folder / "config.json").is_file():
        return fail(model.role, "no config.json in it", needed, remedy)
    missing = missing_weights(folder) if weights else None
    if missing:
        return fail(model.role, f"missing: {missing}", needed, remedy)
    return ok(model.role, str(folder), needed)
