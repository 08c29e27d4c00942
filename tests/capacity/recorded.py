"""What SGLang reported at start, recorded by ``benchmarks/capacity.py`` on H100 and H200.

Captured: random weights of the published shapes, SGLang 0.5.16, one file a start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from gemma4ctl.planning.holding import Memory
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.request import Request
from gemma4ctl.planning.situation import Situation, situate
from tests.planning.hosts import node, table

FOLDER = Path(__file__).parents[2] / "benchmarks" / "results" / "capacity"
PLATFORMS = tuple(path.name for path in sorted(FOLDER.iterdir()) if path.is_dir())
# Flags of the recorded commands that decide what fits.
SHAPING = (
    "--mem-fraction-static", "--swa-full-tokens-ratio", "--chunked-prefill-size",
    "--max-running-requests", "--context-length", "--kv-cache-dtype",
)  # fmt: skip


class Start(NamedTuple):
    """One recorded start."""

    platform: str
    name: str  # variant, kind, TP: "26B-A4B-mtp-tp2"
    argv: tuple[str, ...]
    reported: dict[str, float]

    @property
    def variant(self) -> str:
        return next(name for name in table().variants if self.name.startswith(name))

    @property
    def tp(self) -> int:
        return int(self.name.rpartition("tp")[2])

    @property
    def mtp(self) -> bool:
        return "-mtp-" in self.name

    def situation(self) -> Situation:
        """The same start as a request: its flags that decide what fits stand after ``--``."""
        words = list(self.argv)
        kept = [
            word
            for flag in SHAPING
            if flag in words
            for word in (flag, words[words.index(flag) + 1])
        ]
        request = Request(
            model=self.variant,
            hardware=self.platform,
            gpus=self.tp,
            modalities=("text",),
            extra_args=tuple(kept),
        )
        return situate(request, node(self.platform, self.tp), table())

    def memory(self) -> Memory:
        """What the planner expects of the start."""
        found = memory(self.situation(), self.tp, self.mtp)
        assert found is not None
        return found


def starts() -> list[Start]:
    """Every recorded start."""
    found = []
    for platform in PLATFORMS:
        for path in sorted((FOLDER / platform).glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            if "full_layer_tokens" in record.get("reported", {}):
                found.append(
                    Start(platform, record["name"], tuple(record["argv"]), record["reported"])
                )
    return found


def predicted(platform: str) -> dict[str, dict[str, Any]]:
    """The cases of the committed predictions by name."""
    text = (FOLDER / f"predicted-{platform}.json").read_text(encoding="utf-8")
    return {case["name"]: case for case in json.loads(text)["cases"]}
