"""The commands of the SGLang cookbook page for Gemma 4, restated from the page.

``SELECTOR`` follows the rules of the page's newest command selector, independently of
``profiles.yaml``; ``PAGE`` holds the commands printed on the page in its two versions (April and
June 2026). ``request`` says what has to be asked of gemma4ctl to get the command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

E2B, E4B, B12, B31, MOE = "E2B", "E4B", "12B", "31B", "26B-A4B"

# hardware -> variant -> (TP, memory fraction)
SIZES: dict[str, dict[str, tuple[int, float]]] = {
    "H200": {E2B: (1, 0.85), E4B: (1, 0.85), B12: (1, 0.85), B31: (2, 0.85), MOE: (1, 0.85)},
    "B200": {E2B: (1, 0.9), E4B: (1, 0.9), B12: (1, 0.9), B31: (1, 0.9), MOE: (1, 0.75)},
    "B300": {E2B: (1, 0.9), E4B: (1, 0.9), B12: (1, 0.9), B31: (1, 0.9), MOE: (1, 0.9)},
    "MI300X": {B31: (1, 0.8), MOE: (1, 0.8)},
    "Arc-B": {B31: (4, 0.8), MOE: (4, 0.75)},
    "Xeon": {E2B: (1, 0.9), E4B: (1, 0.9), B31: (4, 0.5), MOE: (2, 0.5)},
}  # fmt: skip
DEVICE = {"Xeon": ["--device", "cpu", "--disable-overlap-schedule"], "Arc-B": ["--device", "xpu"]}
QAT = "-qat-q4_0-unquantized"


@dataclass(frozen=True)
class Expected:
    """One command, and what to ask for."""

    name: str
    hardware: str
    command: str  # the words after `sglang serve`
    request: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)


def mtp(model: str) -> list[str]:
    """The speculative flags that the page prints for ``model``."""
    return [
        "--speculative-algorithm", "NEXTN",
        "--speculative-draft-model-path", model + "-assistant",
        "--speculative-num-steps", "5",
        "--speculative-num-draft-tokens", "6",
        "--speculative-eagle-topk", "1",
    ]  # fmt: skip


def selector_row(
    hardware: str, variant: str, line: str, drafts: bool, reasoning: bool, tools: bool
) -> Expected:
    """What the selector prints for one choice of its options."""
    tp, fraction = SIZES[hardware][variant]
    if drafts and variant == MOE and hardware != "Xeon":
        tp = 2
    model = f"google/gemma-4-{variant}-it" + (QAT if line == "qat" else "")
    words = ["--model-path", model, *DEVICE.get(hardware, [])]
    words += ["--tp", str(tp)] if tp > 1 else []
    words += ["--reasoning-parser", "gemma4"] if reasoning else []
    words += ["--tool-call-parser", "gemma4"] if tools else []
    if drafts:
        words += ["--speculative-algorithm", "NGRAM"] if hardware == "Xeon" else mtp(model)
    words += ["--attention-backend", "triton"] if hardware == "B300" else []
    words += ["--mem-fraction-static", str(fraction), "--host", "0.0.0.0", "--port", "30000"]
    request = {
        "model": variant,
        "checkpoint": "qat" if line == "qat" else "bf16",
        "mtp": drafts,
        "reasoning": reasoning,
        "tools": tools,
        "modalities": {"B200": ("text",), "B300": ("text", "image")}.get(hardware),
    }
    name = "-".join(
        [hardware, variant, line, *(["mtp"] if drafts else [])]
        + [word for word, on in (("reasoning", reasoning), ("tools", tools)) if on]
    )
    return Expected(name, hardware, " ".join(words), request)


def _selector() -> list[Expected]:
    return [
        selector_row(hardware, variant, line, drafts, reasoning, tools)
        for hardware, variants in SIZES.items()
        for variant, line, drafts, reasoning, tools in product(
            variants,
            ("standard", "qat"),
            (False,) if hardware == "MI300X" else (False, True),
            (True, False),
            (True, False),
        )
    ]


SELECTOR = _selector()

PARSERS = "--reasoning-parser gemma4 --tool-call-parser gemma4"
BIND = "--host 0.0.0.0 --port 30000"
BARE = {"reasoning": False, "tools": False}
# The page leaves the memory fraction out where the request says mem_fraction="auto".
UNSIZED = {"mem_fraction": "auto"}


def _amd() -> list[Expected]:
    """Section 3.3: the small variants without AITER, the large ones unchanged."""
    return [
        Expected(
            f"3.3-{hardware}-{variant}",
            hardware,
            f"--model-path google/gemma-4-{variant}-it {PARSERS} {BIND}",
            {"model": variant, **UNSIZED},
            {"SGLANG_USE_AITER": "0"} if variant in (E2B, E4B) else {},
        )
        for hardware in ("MI300X", "MI325X", "MI355X")
        for variant in (E2B, E4B, B31, MOE)
    ]


def _mtp_servers() -> list[Expected]:
    """Section 4: MTP without parsers."""
    return [
        Expected(
            f"4-mtp-{variant}",
            "H200",
            " ".join(
                [
                    f"--model-path google/gemma-4-{variant}-it",
                    *(["--tp-size 2"] if variant in (B31, MOE) else []),
                    *mtp(f"google/gemma-4-{variant}-it"),
                    "--mem-fraction-static 0.85",
                ]
            ),
            {"model": variant, "mtp": True, **BARE},
        )
        for variant in (E2B, E4B, B12, B31, MOE)
    ]


def _benchmark_server(
    variant: str, hardware: str, flags: str = "", name: str = "", **request: Any
) -> Expected:
    """A server of section 5.1: the model and little else."""
    return Expected(
        f"5.1-{variant}-{hardware}{name}",
        hardware,
        f"--model-path google/gemma-4-{variant}-it {flags}".strip(),
        {"model": variant, **BARE, **UNSIZED, **request},
    )


PAGE = [
    *_amd(),
    Expected(
        "4-all-features",
        "H200",
        f"--model-path google/gemma-4-26B-A4B-it {PARSERS} {BIND}",
        {"model": MOE, **UNSIZED},
    ),
    *_mtp_servers(),
    _benchmark_server(E2B, "H200"),
    _benchmark_server(E4B, "H200"),
    _benchmark_server(B12, "H200"),
    _benchmark_server(B31, "H200", "--tp 2"),
    _benchmark_server(MOE, "H200"),
    _benchmark_server(MOE, "H200", "--tp 2", "-throughput-tip", tp=2),
    _benchmark_server(B31, "MI300X"),
    _benchmark_server(MOE, "MI300X"),
    _benchmark_server(B12, "B200", name="-text", modalities=("text",)),
    _benchmark_server(B12, "B200", name="-audio", modalities=("text", "audio")),
    _benchmark_server(
        B12, "B200", "--attention-backend triton", "-image", modalities=("text", "image")
    ),
    _benchmark_server(
        B12,
        "B200",
        "--scheduler-recv-interval 16",
        "-throughput",
        modalities=("text",),
        objective="throughput",
    ),
]

# Section 2: the command inside `docker run ... lmsysorg/sglang:latest`.
DOCKER = Expected(
    "2-docker",
    "H200",
    f"--model-path google/gemma-4-12B-it {PARSERS} {BIND}",
    {"model": B12, "image": "lmsysorg/sglang:latest", **UNSIZED},
)
