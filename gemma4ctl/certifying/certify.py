"""Start SGLang's own model code and then the fused one, ask both the same, and judge."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gemma4ctl import __version__
from gemma4ctl.certifying import collect
from gemma4ctl.certifying.ask import ask
from gemma4ctl.certifying.compare import Answers, Comparison, compare_all
from gemma4ctl.certifying.prompts import prompts
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import NoPlanError, ServerFailedError
from gemma4ctl.launch.logs import LITTLE_FREE
from gemma4ctl.planning.plan import Plan
from gemma4ctl.rendering.planfile import write_plan
from gemma4ctl.sglang_model.announce import FROM_GRAPHS, FUSED
from gemma4ctl.tuning.server import How, Server

START_S = 1800.0
SMALLER_BY = 0.05  # of the memory of an H100: the 4 GiB that SGLang wants free for graphs
ACTIVE = {  # how the server's log says that a part is on, and what is wrong where it does not
    "kernels": (FUSED, "the server kept SGLang's own model code"),
    "prefill_graphs": (FROM_GRAPHS, "the server prefilled without CUDA graphs"),
}


class Measured(NamedTuple):
    """What one server answered, and its seconds per output token of a single request."""

    answers: Answers
    seconds: float


class Certified(NamedTuple):
    """The verdicts by kind of load, and the seconds of an output token of a single request."""

    comparisons: dict[str, Comparison]
    stock_seconds: float
    fused_seconds: float


def require_fused(plan: Plan) -> None:
    """Refuse a plan that keeps SGLang's own code.

    Raises:
        NoPlanError: with the plan's reason.
    """
    decision = plan.decision("kernels")
    if decision is not None and decision.value == "fused":
        return
    raise NoPlanError(
        "there is nothing to certify: this plan keeps SGLang's own model code",
        needed="a release, GPU and weights that the fused kernels are made for",
        found=decision.reason if decision else "",
        code="kernels-stock",
    )


def certify(
    stock: Plan,
    fused: Plan,
    endpoint: Endpoint,
    *,
    how: How,
    say: Callable[[str], None],
    random_weights: bool = False,
) -> Certified:
    """Serve both plans, one after the other, and compare what they answer.

    Raises:
        ServerFailedError: a server did not start, did not answer, or ran without the kernels.
    """
    asked = prompts(_longest(stock))
    with tempfile.TemporaryDirectory(prefix="gemma4ctl-kernels-") as folder:
        first = _measure(stock, "stock", endpoint, asked, Path(folder), how, say)
        second = _measure(fused, "fused", endpoint, asked, Path(folder), how, say)
    return Certified(
        compare_all(first.answers, second.answers, random_weights=random_weights),
        first.seconds,
        second.seconds,
    )


def _longest(plan: Plan) -> int:
    """The longest prompt, in tokens, that the plan's context takes with its output."""
    context = plan.value("context_length") or (
        plan.capacity.max_context_tokens if plan.capacity else 0
    )
    return max(1, int(str(context or 4096)) - collect.TIMED_TOKENS)


def _measure(
    plan: Plan,
    name: str,
    endpoint: Endpoint,
    asked: Sequence[Sequence[int]],
    folder: Path,
    how: How,
    say: Callable[[str], None],
) -> Measured:
    """Start one server, ask it everything, and end it."""
    plan_file = folder / f"{name}.plan.json"
    write_plan(plan, plan_file, force=True)
    server = Server(plan_file, folder / f"{name}.log", how, START_S)
    say(f"{name}: starting the server")
    with server:
        say(f"{name}: ready after {server.seconds_to_ready:.0f} s; asking {len(asked)} prompts")
        measured = Measured(
            ask(endpoint, asked, about_images=_about_images(plan)),
            collect.seconds_per_token(endpoint),
        )
        say(f"{name}: {measured.seconds * 1000:.2f} ms per output token")
    if name == "fused":
        _require_active(server, plan)
    return measured


def _about_images(plan: Plan) -> bool:
    """Whether the plan is for images too."""
    return plan.request.modalities is None or "image" in plan.request.modalities


def _require_active(server: Server, plan: Plan) -> None:
    """Refuse what a server answered that did not run all that the plan switched on."""
    reported = server.report().get("reported") or {}
    for name, (active, otherwise) in ACTIVE.items():
        said = str(reported.get(name) or "")
        if plan.value(name) and not said.startswith(active):
            raise ServerFailedError(
                otherwise,
                needed="a server that runs what the plan switches on",
                found=said or "its log says nothing",
                remedies=_remedies(said, reported.get("mem_fraction_static")),
                code=f"{name.replace('_', '-')}-not-active",
            )


def _remedies(said: str, share: float | None) -> list[str]:
    """What to do about a part that is not active.

    Args:
        said: the log's line about the part; "" where it has none.
        share: the share of GPU memory that the server took, where the log names it.
    """
    if not said:
        return [f"install gemma4ctl {__version__} into the environment of SGLang"]
    if said.startswith(LITTLE_FREE):
        return [_less_memory(share), "end what else holds memory of the GPU: nvidia-smi lists it"]
    return [
        "remove the cause that the log names",
        "until then, serve with SGLang's own code: --kernels stock",
    ]


def _less_memory(share: float | None) -> str:
    if share is None:
        return "leave more free: a smaller --mem-fraction-static after --"
    less = f"--mem-fraction-static {share - SMALLER_BY:.2f}"
    return f"leave more free: -- {less}, not {share:g} as in this run"
