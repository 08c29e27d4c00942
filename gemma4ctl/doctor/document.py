"""The report: every part gathered, redacted once as a whole, and cut to size.

A part that breaks is replaced by ``{"error": ...}`` in its place, so that there is always a
report. The inventory stands under "inventory", where ``--hardware-file`` finds it; "recorded" is
laid out as the recorded hosts that detection is tested with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gemma4ctl
from gemma4ctl.doctor import sections
from gemma4ctl.doctor.identity import read_identity
from gemma4ctl.doctor.parts import Aside, Part
from gemma4ctl.doctor.recording import Recording, recorded_host, recording
from gemma4ctl.doctor.redaction import redacted
from gemma4ctl.hardware.access import Access
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.launch.container import Docker
from gemma4ctl.launch.container import docker as run_docker
from gemma4ctl.launch.install import find_sglang
from gemma4ctl.settings import gather

if TYPE_CHECKING:
    from gemma4ctl.profiles.table import Profiles

KIND = "gemma4ctl-doctor"
SECTION_BYTES = 16 * 1024  # of one text: a tool's output, the log
READ_BYTES = 2 * SECTION_BYTES  # redacted before the rest is cut off
SOFTWARE_LIMIT_S = 5.0  # for docker and sglang, asked while the hardware is read
TOOLS_LIMIT_S = 15.0  # for the tools that detection itself did not need


def report(
    environment: Mapping[str, str] | None = None,
    access: Access | None = None,
    docker: Docker = run_docker,
) -> dict[str, Any]:
    """A redacted report of this machine, JSON-ready. Never raises for anything it finds.

    Args:
        environment: by default the process's.
        access: the machine to read, by default the real one.
        docker: runs a docker command.
    """
    from gemma4ctl.profiles.load import load

    environment = os.environ if environment is None else environment
    access = access or Access()
    settings = Part(lambda: gather({}, environment))
    overlay = Part(lambda: sections.user_table(settings.value))
    profiles = Part(lambda: load(overlay.value))
    evidence = Part(lambda: sections.log_start(environment))
    document = {
        "schema_version": 1,
        "kind": KIND,
        "gemma4ctl_version": gemma4ctl.__version__,
        **_machine(environment, recording(access), docker, profiles, settings.value),
        "profiles": Part(lambda: sections.profile_table(profiles.needed, overlay.value)).shown,
        "settings": Part(lambda: sections.settings(settings.needed)).shown,
        "environment": Part(lambda: sections.environment_names(environment)).shown,
        "log": Part(lambda: sections.serve_log(environment)).shown,
    }
    plain = cut(json.loads(json.dumps(document, default=str)), READ_BYTES, mark=False)
    clean = redacted(
        plain,
        read_identity(environment, access),
        _structure(document, profiles.value),
        [evidence.value or ""],
    )
    return dict(cut(clean, SECTION_BYTES))


def _machine(
    environment: Mapping[str, str],
    record: Recording,
    run: Docker,
    profiles: Part[Profiles],
    settings: Any,
) -> dict[str, Any]:
    """The parts that ask the machine; what is slow and independent runs beside detection."""
    docker = Aside(lambda: sections.docker(run))
    install = Aside(lambda: find_sglang(environment)).part(SOFTWARE_LIMIT_S)
    inventory = Part(lambda: sections.inventory(environment, record, profiles.value, install.value))
    tools = {
        "nvidia": Aside(lambda: sections.ask_nvidia_tools(record, inventory.needed)),
        "amd": Aside(lambda: sections.ask_amd_tools(record)),
    }
    packages = Part(lambda: sections.packages(record))
    plans = Part(lambda: sections.plans(inventory.needed, profiles.needed, settings))
    parts: dict[str, Part[Any]] = {
        "system": Part(lambda: sections.system(inventory.value)),
        "inventory": Part(lambda: inventory.needed.model_dump(mode="json")),
        "plans": plans,
        "packages": packages,
        "sglang": Part(lambda: sections.sglang(install.needed)),
        "docker": docker.part(SOFTWARE_LIMIT_S),
    }
    cut_short = {name: tool.part(TOOLS_LIMIT_S).error for name, tool in tools.items()}
    parts["recorded"] = Part(
        lambda: {
            **recorded_host(record, packages.value or {}),
            "cut_short": {name: error for name, error in cut_short.items() if error},
        }
    )
    return {name: part.shown for name, part in parts.items()}


def _structure(document: Mapping[str, Any], profiles: Profiles | None) -> set[str]:
    """The texts that every report holds: field names, their fixed values, platform names."""
    words = {*document, *document["system"], *(profiles.platforms if profiles else ())}
    return words | set(_schema_words(Inventory.model_json_schema()))


def _schema_words(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [word for item in schema for word in _schema_words(item)]
    if not isinstance(schema, dict):
        return []
    own = [*schema.get("properties", {}), *schema.get("enum", [])]
    return own + _schema_words(list(schema.values()))


def cut(value: Any, limit: int, *, mark: bool = True) -> Any:
    """``value`` with every text in it cut to ``limit`` bytes, at the end of a line if there is one.

    With ``mark`` the cut is said; the mark comes on top of the limit.
    """
    if isinstance(value, dict):
        return {name: cut(item, limit, mark=mark) for name, item in value.items()}
    if isinstance(value, list):
        return [cut(item, limit, mark=mark) for item in value]
    if not isinstance(value, str) or len(value) * 4 <= limit:
        return value
    data = value.encode("utf-8", "replace")
    if len(data) <= limit:
        return value
    kept = data[:limit].decode("utf-8", "ignore")
    kept = kept[: kept.rfind("\n") + 1] or kept
    note = f"[cut after {len(kept.encode())} bytes]"
    return f"{kept}{note}" if mark else kept
