"""The variables by which gemma4ctl switches the model module on in a server's processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PACKAGE_VARIABLE = "SGLANG_EXTERNAL_MODEL_PACKAGE"  # SGLang's own
PACKAGE = "gemma4ctl.sglang_model.models"
KERNELS_VARIABLE = "GEMMA4CTL_SGLANG_KERNELS"
KERNELS_ON = "fused"
PARTS_VARIABLE = "GEMMA4CTL_SGLANG_PARTS"  # to find the part that a difference comes from
PARTS = ("norms", "attention", "linear", "experts", "decode", "logits")
KV_VARIABLE = "GEMMA4CTL_SGLANG_KV"
KV_ON = "shared"
PREFILL_GRAPHS_VARIABLE = "GEMMA4CTL_SGLANG_PREFILL_GRAPHS"  # tokens of each graph: "64,256,1024"


def fused_asked(environment: Mapping[str, str]) -> bool:
    """Whether the fused kernels are asked for."""
    return environment.get(KERNELS_VARIABLE) == KERNELS_ON


def shared_kv_asked(environment: Mapping[str, str]) -> bool:
    """Whether layers that share KV are to get none of their own."""
    return environment.get(KV_VARIABLE) == KV_ON


def asked(environment: Mapping[str, str]) -> bool:
    """Whether any part of the module is asked for."""
    return fused_asked(environment) or shared_kv_asked(environment)


def fused_environment() -> dict[str, str]:
    """The variables that switch the fused kernels on."""
    return {PACKAGE_VARIABLE: PACKAGE, KERNELS_VARIABLE: KERNELS_ON}


def shared_kv_environment() -> dict[str, str]:
    """The variables that switch the smaller KV pools on."""
    return {KV_VARIABLE: KV_ON}


def prefill_graphs_environment(sizes: Iterable[int]) -> dict[str, str]:
    """The variables that ask for prefill from CUDA graphs of ``sizes`` tokens."""
    return {PREFILL_GRAPHS_VARIABLE: ",".join(map(str, sizes))}


def prefill_graph_sizes(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Tokens of the CUDA graphs that are asked for, in order; () for none.

    Raises:
        ValueError: not a comma-separated list of numbers of tokens.
    """
    named = environment.get(PREFILL_GRAPHS_VARIABLE, "").strip()
    if not named:
        return ()
    words = [word.strip() for word in named.split(",")]
    if not all(word.isdecimal() and word.isascii() and int(word) > 0 for word in words):
        raise ValueError(f"{PREFILL_GRAPHS_VARIABLE} is {named!r}, not a list as 64,256,1024")
    return tuple(sorted({int(word) for word in words}))


def parts(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The parts to replace: all, or those of a comma-separated list.

    Raises:
        ValueError: a part of that list does not exist.
    """
    named = environment.get(PARTS_VARIABLE, ",".join(PARTS)).split(",")
    asked = {name.strip() for name in named if name.strip()}
    if unknown := asked - set(PARTS):
        raise ValueError(
            f"{PARTS_VARIABLE} names {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    return tuple(part for part in PARTS if part in asked)
