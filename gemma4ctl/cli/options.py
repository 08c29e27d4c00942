"""The options that suggest, serve and docker share.

Values stay text here: :mod:`gemma4ctl.settings` reads them, from whichever place they come.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from gemma4ctl.errors import UsageError

HARDWARE, MODEL, WORKLOAD, SERVER = "Hardware", "Model", "Workload", "Server"


def _text(panel: str, name: str, metavar: str, help: str, *short: str) -> Any:  # noqa: A002
    # `str` though the default is None: typer spends 1 ms on reading each `str | None`
    option = typer.Option(name, *short, metavar=metavar, help=help, rich_help_panel=panel)
    return Annotated[str, option]


def _switch(panel: str, names: str, help: str) -> Any:  # noqa: A002
    return Annotated[bool, typer.Option(names, help=help, rich_help_panel=panel)]


REQUEST: dict[str, Any] = {
    "model": _text(
        MODEL,
        "--model",
        "NAME",
        "E2B, E4B, 12B, 31B or 26B-A4B; a Hugging Face id; a local folder.",
        "-m",
    ),
    "checkpoint": _text(
        MODEL, "--checkpoint", "NAME", "bf16 (default), qat, fp8, nvfp4, qat-w4a16."
    ),
    "model_path": _text(
        MODEL, "--model-path", "PATH", "Weights to serve: a folder or another repository."
    ),
    "draft_path": _text(
        MODEL, "--draft-path", "PATH", "MTP draft: a folder or another repository."
    ),
    "mtp": _switch(MODEL, "--mtp/--no-mtp", "Draft tokens with the paired assistant."),
    "kernels": _text(MODEL, "--kernels", "KIND", "auto (default), stock or fused."),
    "hardware": _text(
        HARDWARE, "--hardware", "NAME", "Plan for this platform instead of the local machine."
    ),
    "gpus": _text(
        HARDWARE, "--gpus", "N|IDS", "How many GPUs there are, or which: 2   0,3   GPU-1a2b."
    ),
    "hardware_file": _text(
        HARDWARE, "--hardware-file", "FILE", "Plan for what `gemma4ctl detect --json` wrote."
    ),
    "tp_size": _text(HARDWARE, "--tp-size", "N", "GPUs that share the model (tensor parallelism)."),
    "modality": _text(
        WORKLOAD, "--modality", "LIST", "Inputs to serve: text,image,audio (default: all)."
    ),
    "context_length": _text(
        WORKLOAD, "--context-length", "TOKENS", "Longest request, input and output: 32768, 32k."
    ),
    "concurrency": _text(WORKLOAD, "--concurrency", "N", "Requests at the same time."),
    "request_tokens": _text(
        WORKLOAD, "--request-tokens", "LENGTHS", "Lengths to plan for: 32k, 32k+512, or 1k:9,32k:1."
    ),
    "objective": _text(
        WORKLOAD, "--objective", "GOAL", "latency, balanced (default) or throughput."
    ),
    "optimize": _switch(
        WORKLOAD, "--optimize", "Split the KV cache for the load (32k requests if none is named)."
    ),
    "safe": _switch(WORKLOAD, "--safe", "Keep published values, whatever the load."),
    "mem_fraction": _text(
        SERVER,
        "--mem-fraction",
        "SHARE|auto",
        "Share of GPU memory for weights and KV cache; auto: SGLang's own.",
    ),
    "sglang_version": _text(SERVER, "--sglang-version", "VERSION", "SGLang release to plan for."),
    "image": _text(SERVER, "--image", "REFERENCE", "Container image to use."),
    "reasoning": _switch(SERVER, "--reasoning/--no-reasoning", "Thoughts apart from answers."),
    "tools": _switch(SERVER, "--tools/--no-tools", "Structured tool calls."),
    "host": _text(SERVER, "--host", "ADDRESS", "Address to listen on (default 127.0.0.1)."),
    "port": _text(SERVER, "--port", "PORT", "Port to listen on (default 30000)."),
    "api_key_file": _text(
        SERVER, "--api-key-file", "FILE", "File with the API key (or GEMMA4CTL_API_KEY)."
    ),
    "profiles": _text(
        SERVER, "--profiles", "FILE", "Your own profile table, over the built-in one."
    ),
}


def request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the shared options.

    ``command(ctx, flags, extra, ...)`` gets them as one dict (None: not given), the words after
    ``--``, and its own options as usual.
    """
    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name not in ("flags", "extra")
    ]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in REQUEST.items()
    ]

    @wraps(command)
    def with_options(ctx: typer.Context, **values: Any) -> None:
        flags = {name: values.pop(name) for name in REQUEST}
        command(ctx=ctx, flags=flags, extra=after_dashes(ctx), **values)

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    signature = inspect.Signature([context, *shared, *[p for p in own if p.name != "ctx"]])
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return with_options


def after_dashes(ctx: typer.Context) -> tuple[str, ...]:
    """The words after ``--``; a stray word before it is an error."""
    if ctx.args and not ctx.args[0].startswith("-"):
        raise UsageError(
            f"unexpected argument {ctx.args[0]!r}",
            needed="options; SGLang's own flags stand after --",
            remedies=["gemma4ctl suggest --model 26B-A4B -- --log-level warning"],
            code="unexpected-argument",
        )
    return tuple(ctx.args)


def require_file(output: str | None, instead: str) -> None:
    """Refuse ``-`` as the file of ``--output``; ``instead`` says how stdout is had.

    Raises:
        UsageError: ``output`` is ``-``.
    """
    if output == "-":
        raise UsageError(
            "--output takes a file, not - for stdout",
            remedies=[instead],
            code="output-stdout",
        )


UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The endpoint (or GEMMA4CTL_URL; default http://127.0.0.1:30000).",
    ),
]
ApiKeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file", metavar="FILE", help="File with the API key (or GEMMA4CTL_API_KEY)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Show rule, reason, source and origin of every value.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite a file that gemma4ctl did not write.")
]
PlanOption = Annotated[
    str | None,
    typer.Option("--plan", metavar="FILE", help="Use a plan of `suggest -o FILE` unchanged."),
]
