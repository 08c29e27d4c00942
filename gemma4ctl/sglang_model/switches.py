"""The variables by which gemma4ctl switches the model module on in a server's processes."""

from __future__ import annotations

from collections.abc import Mapping

PACKAGE_VARIABLE = "SGLANG_EXTERNAL_MODEL_PACKAGE"  # SGLang's own
PACKAGE = "gemma4ctl.sglang_model.models"
KERNELS_VARIABLE = "GEMMA4CTL_SGLANG_KERNELS"
KERNELS_ON = "fused"
PARTS_VARIABLE = "GEMMA4CTL_SGLANG_PARTS"  # to find the part that a difference comes from
PARTS = ("norms", "attention", "linear", "experts", "decode")
KV_VARIABLE = "GEMMA4CTL_SGLANG_KV"
KV_ON = "shared"


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
