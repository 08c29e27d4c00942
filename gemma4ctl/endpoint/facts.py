"""What a running server says about itself: model, release, limits, arguments.

From ``/v1/models`` (every OpenAI-compatible server), ``/model_info`` and ``/server_info``
(SGLang). A server that lacks one of them is described as far as the others go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma4ctl.endpoint import http
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from gemma4ctl.launch.redact import MASK
from gemma4ctl.printable import printable

SECRET_ARGUMENTS = ("api_key", "admin_api_key", "ssl_keyfile_password")


@dataclass(frozen=True)
class Facts:
    """A server's own description. None: it does not say.

    ``variant`` is a name of the profile table. ``has_images`` and ``has_audio`` are about the
    model that is loaded, as the server judges it. ``server_args`` are SGLang's arguments, secrets
    masked. ``max_tokens`` is the size of the KV pool, ``context_length`` the longest request.
    ``accept_length`` is the mean of tokens per verified draft since the start. ``problems`` are
    sentences about what could not be read.
    """

    model_ids: tuple[str, ...] = ()
    model_path: str | None = None
    architecture: str | None = None
    variant: str | None = None
    release: str | None = None
    server_args: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    context_length: int | None = None
    has_images: bool | None = None
    has_audio: bool | None = None
    accept_length: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def random_weights(self) -> bool | None:
        """Whether the server was started with ``--load-format dummy``."""
        format_ = self.argument("load_format")
        return None if format_ is None else format_ == "dummy"

    @property
    def drafts(self) -> bool:
        """Whether tokens are drafted: MTP is on."""
        return bool(self.argument("speculative_algorithm"))

    def refuses(self, kind: str) -> bool:
        """Whether the server is known to refuse every request with an image, audio or video."""
        limits = self.argument("limit_mm_data_per_request")
        return isinstance(limits, dict) and limits.get(kind) == 0

    def argument(self, name: str) -> Any:
        """The value of one of SGLang's arguments; None also when they are not known."""
        return (self.server_args or {}).get(name)


def read_facts(endpoint: Endpoint, timeout_s: float = 10.0) -> Facts:
    """Ask the server at ``endpoint``; ``timeout_s`` is for each of the three requests."""
    problems: list[str] = []
    models = _document(endpoint, "/v1/models", timeout_s, problems)
    info = _document(endpoint, "/model_info", timeout_s, problems)
    server = _document(endpoint, "/server_info", timeout_s, problems)
    cards = [card for card in _list(models.get("data")) if isinstance(card, dict)]
    ids = tuple(str(card["id"]) for card in cards if "id" in card)
    path = _text(info.get("model_path")) or _text(server.get("model_path"))
    architecture = next(map(str, _list(info.get("architectures"))), None)
    states = [state for state in _list(server.get("internal_states")) if isinstance(state, dict)]
    lengths = [state.get("avg_spec_accept_length") for state in states]
    return Facts(
        model_ids=ids,
        model_path=path,
        architecture=architecture,
        variant=_variant([path, *ids], architecture),
        release=printable(_text(server.get("version")) or "") or None,
        server_args=_arguments(server) or None,
        max_tokens=_whole(server.get("max_total_num_tokens")),
        context_length=next((n for card in cards if (n := _whole(card.get("max_model_len")))), None)
        or _whole(server.get("context_length")),
        has_images=_truth(info.get("has_image_understanding")),
        has_audio=_truth(info.get("has_audio_understanding")),
        accept_length=next((float(n) for n in lengths if isinstance(n, (int, float))), None),
        problems=tuple(problems),
    )


def _document(
    endpoint: Endpoint, path: str, timeout_s: float, problems: list[str]
) -> dict[str, Any]:
    """The JSON object at ``path``, or {} with a word in ``problems``."""
    answer = http.get(endpoint, path, timeout_s)
    if answer.problem:
        problems.append(f"{path}: {answer.problem}")
        return {}
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        problems.append(f"{path}: the answer is no JSON object")
        return {}
    return document


def _variant(names: Iterable[str | None], architecture: str | None) -> str | None:
    """The variant that a path or an id names, or that alone has this architecture.

    A folder's short name, such as E2B-it, is taken where the architecture says that it is a
    Gemma 4: Gemma 3 and 3n have the same.
    """
    from gemma4ctl.profiles import load, lookup

    profiles = load.load()
    for name in filter(None, names):
        if (folder := Path(name)).is_absolute() and folder.is_dir():
            try:
                return lookup.identify_folder(folder, profiles)
            except UsageError:
                pass
        short = [folder.name.removesuffix("-it")] if _is_gemma_4(architecture) else []
        for spelling in (name, folder.name, *short):
            try:
                return lookup.variant_name(profiles, spelling)
            except UsageError:
                continue
    alike = [n for n, v in profiles.variants.items() if v.architecture == architecture]
    return alike[0] if len(alike) == 1 else None


def _is_gemma_4(architecture: str | None) -> bool:
    return architecture is not None and architecture.startswith("Gemma4")


def _arguments(server: Mapping[str, Any]) -> dict[str, Any]:
    """The flat values of ``/server_info``, which mixes arguments with state."""
    flat = {k: v for k, v in server.items() if k not in ("internal_states", "version")}
    return {k: MASK if v and k in SECRET_ARGUMENTS else v for k, v in flat.items()}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
