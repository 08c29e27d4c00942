"""The request: what the user asked for, with where each value came from."""

from typing import Literal

from gemma4ctl.model import Model
from gemma4ctl.profiles.table import Modality

Objective = Literal["latency", "balanced", "throughput"]
Kernels = Literal["auto", "stock", "fused"]


class Request(Model):
    """Everything a plan depends on besides the hardware and the profile table.

    None means "not asked": a rule decides. ``origins`` maps a field to where its value came from
    ("flag", "environment GEMMA4CTL_PORT", "project file gemma4ctl.yaml", "user file ...");
    a field that is absent there has its default.
    """

    model: str  # canonical variant name
    checkpoint: str = "bf16"
    model_path: str | None = None  # a local folder or another repository
    draft_path: str | None = None
    hardware: str | None = None  # platform name, None: the local machine
    gpus: int | tuple[str, ...] | None = None  # a count, or ids
    tp: int | None = None
    mtp: bool | None = None
    modalities: tuple[Modality, ...] | None = None
    context_length: int | None = None
    concurrency: int | None = None
    request_tokens: str | None = None  # lengths of the requests: "32k+512" or "1k:9,32k:1"
    objective: Objective = "balanced"
    optimize: bool = False  # tune the plan to the load, or to a usual one
    safe: bool = False  # published values, whatever the load
    mem_fraction: float | Literal["auto"] | None = None  # "auto": leave it to SGLang
    sglang_version: str | None = None
    image: str | None = None
    kernels: Kernels = "auto"
    kernels_certified: tuple[str, ...] = ()  # releases, for these weights on this host
    reasoning: bool = True
    tools: bool = True
    host: str = "127.0.0.1"
    port: int = 30000
    api_key_config: str | None = None  # path of the 0600 SGLang config file that holds the key
    extra_args: tuple[str, ...] = ()  # everything after --
    origins: dict[str, str] = {}
