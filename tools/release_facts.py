"""Read from SGLang wheels what ``profiles.yaml`` says about each release.

    python tools/release_facts.py [RELEASE ...]        print the facts as YAML
    python tools/release_facts.py --check [RELEASE ...] compare them with profiles.yaml, exit 1 if
                                                        they differ

Without releases, those of ``profiles.yaml``. Wheels come from the package index through ``pip
download --no-deps`` and are kept in ``--cache``; nothing in them is executed or imported.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import yaml

from gemma4ctl.profiles.load import load

PINS = {"transformers": "transformers", "torch": "torch", "flashinfer": "flashinfer[_-]python"}
PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64", "any")
ACCEPTED = "accepted_backends = ("
FROZEN_KV_MTP = "FROZEN_KV_MTP"


def wheel_of(release: str, cache: Path) -> Path:
    """The wheel of ``release``, downloaded unless ``cache`` has it."""
    folder = cache / release
    if not any(folder.glob("*.whl")):
        platforms = [part for name in PLATFORMS for part in ("--platform", name)]
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary", ":all:", "--python-version", "3.12", *platforms),
                *("--dest", str(folder), f"sglang=={release}"),
            ],
            check=True,
        )
    return next(folder.glob("*.whl"))


def facts(wheel: Path) -> dict[str, Any]:
    """Everything this tool can tell about the release in ``wheel``."""
    with zipfile.ZipFile(wheel) as archive:
        metadata_name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = archive.read(metadata_name).decode()
        newest = max(entry.date_time for entry in archive.infolist())
        sources = {
            name: archive.read(name).decode(errors="replace")
            for name in archive.namelist()
            if name.startswith("sglang/srt/") and name.endswith(".py")
        }
    return {
        "date": "{:04}-{:02}-{:02}".format(*newest),
        **pins(metadata),
        "attention_backends": accepted_backends(sources),
        "default_backend": default_backend(sources),
        "graph_max_bs_flag": graph_flag(sources),
        "mtp_code": any(FROZEN_KV_MTP in text for text in sources.values()),
        "unified_12b": any(name.endswith("/gemma4_unified.py") for name in sources),
        "graph_max_bs_below_35_gib": graph_sizes(sources),
    }


def pins(metadata: str) -> dict[str, str]:
    """The exact versions that the wheel requires."""
    required = HeaderParser().parsestr(metadata).get_all("Requires-Dist", [])
    found = {}
    for name, pattern in PINS.items():
        match = re.search(rf"^{pattern}(?:\[[^]]*\])?==([\w.]+)", "\n".join(required), re.MULTILINE)
        found[name] = match.group(1) if match else "unpinned"
    return found


def accepted_backends(sources: dict[str, str]) -> list[str]:
    """The attention backends of the assertion that Gemma 4 makes at start; empty: none."""
    for text in sources.values():
        check, found, _ = text.partition("Gemma4 only supports")
        if found:
            return re.findall(r'"([a-z0-9_]+)"', check[check.rfind(ACCEPTED) :])
    return []


def default_backend(sources: dict[str, str]) -> dict[str, str]:
    """Default attention backend of Gemma 4 by GPU architecture.

    The rule asks for compute capability 10.x (``is_sm100_supported``), so it holds for sm_103 too.
    """
    for text in sources.values():
        at = text.find("default attention backend for Gemma4")
        if at >= 0 and "trtllm_mha" in text[max(0, at - 700) : at]:
            return {"sm_100": "trtllm_mha", "sm_103": "trtllm_mha", "*": "triton"}
    return {"*": "triton"}


def graph_flag(sources: dict[str, str]) -> str:
    """The flag that caps the decode batches with a CUDA graph, as first documented."""
    decode = "--cuda-graph-max-bs-decode"
    modern = any(decode in text or "cuda_graph_max_bs_decode" in text for text in sources.values())
    return decode if modern else "--cuda-graph-max-bs"


def graph_sizes(sources: dict[str, str]) -> list[int]:
    """Largest decode batch with a graph on GPUs of 20 to 35 GiB, at TP below 4 and from 4 on."""
    for text in sources.values():
        at = text.find("gpu_mem < 35 * 1024")
        if at >= 0:
            return [int(size) for size in re.findall(r"max_bs = (\d+)", text[at:])[:2]]
    return []


def differences(release: str, found: dict[str, Any]) -> list[str]:
    """Where ``profiles.yaml`` says otherwise."""
    profiles = load()
    if release not in profiles.releases:
        return [f"{release}: not in profiles.yaml"]
    stated = profiles.releases[release].model_dump(mode="json")
    stated["default_backend"].pop("amx", None)  # chosen by the CPU device, before Gemma 4's rule
    return [
        f"{release} {key}: profiles.yaml has {stated[key]}, the wheel has {value}"
        for key, value in found.items()
        if key in stated and stated[key] != value
    ]


def main() -> int:
    """Print or compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("releases", nargs="*", metavar="RELEASE")
    parser.add_argument("--check", action="store_true", help="compare with profiles.yaml")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/gemma4ctl/wheels")
    options = parser.parse_args()
    releases = options.releases or list(load().releases)
    found = {release: facts(wheel_of(release, options.cache)) for release in releases}
    if not options.check:
        yaml.safe_dump(found, sys.stdout, sort_keys=False, default_flow_style=None, width=100)
        return 0
    wrong = [line for release, row in found.items() for line in differences(release, row)]
    print("\n".join(wrong) or f"profiles.yaml agrees with {len(found)} wheels")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
