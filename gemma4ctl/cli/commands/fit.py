"""``gemma4ctl fit``: what runs on this hardware, how much fits, what would make more fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4ctl.cli.help import AFTER_DASHES, Command, command_app
from gemma4ctl.cli.options import ForceOption, JsonOption, request_options
from gemma4ctl.errors import NoPlanError, UsageError

if TYPE_CHECKING:
    from gemma4ctl.cli.inputs import Inputs
    from gemma4ctl.fitting.document import FitDocument, VariantFit
    from gemma4ctl.fitting.fit import Points
    from gemma4ctl.planning.request import Request

MOST_POINTS = 12  # lengths, or numbers at once
MAXIMUM = "max"

app = command_app()


@app.command("fit", cls=Command, context_settings=AFTER_DASHES)
@request_options
def fit(
    ctx: typer.Context,
    flags: dict[str, Any],
    extra: tuple[str, ...],
    lengths: Annotated[
        str,
        typer.Option("--lengths", metavar="LIST", help="Tokens of requests; max: the context."),
    ] = "1k,8k,32k,max",
    at_once: Annotated[
        str, typer.Option("--at-once", metavar="LIST", help="Numbers of requests at once.")
    ] = "1,16,64,256",
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw capacity by length: .svg or .png."),
    ] = None,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Show what runs here, how much fits, and what would make more fit.

    Without --model every variant is looked at. Takes the options of `suggest`, and plans as it
    does. Exit status 3: nothing runs as it was asked for.

    Example: gemma4ctl fit --model 31B --hardware H200 --gpus 1
    """
    from gemma4ctl.cli import show
    from gemma4ctl.fitting.fit import fit as fitted

    points = _points(lengths, at_once)
    inputs, requests = _requests(flags, extra)
    if plot is not None and len(requests) > 1:
        raise UsageError(
            "--plot draws one variant",
            needed="--model " + ", ".join(inputs.profiles.variants),
            code="plot-model",
        )
    document = fitted(requests, inputs.inventory, inputs.profiles, points, inputs.given)
    if json:
        show.print_json(document.model_dump(mode="json"))
    elif len(requests) > 1 or document.variants[0].group != "cannot":
        _print(document)
    if plot is not None and document.fits:
        _draw(document, inputs, plot, force=force)
    if not document.fits:
        raise _error(document.variants)


def _requests(flags: dict[str, Any], extra: tuple[str, ...]) -> tuple[Inputs, list[Request]]:
    """The request for the variant that was named, or one for each variant."""
    from gemma4ctl.cli import inputs
    from gemma4ctl.profiles.load import load
    from gemma4ctl.settings import gather

    settings = gather(flags)
    if settings.get("model") is not None or settings.get("model_path") is not None:
        read = inputs.read(flags, extra, "suggest")
        return read, [read.request]
    own = settings.get("profiles")
    variants = load(Path(own) if own else None).variants
    read = inputs.read({**flags, "model": next(iter(variants))}, extra, "suggest")
    return read, [read.request.model_copy(update={"model": name}) for name in variants]


def _points(lengths: str, at_once: str) -> Points:
    from gemma4ctl.fitting.fit import Points

    return Points(
        tuple(_numbers("--lengths", lengths, MAXIMUM)),
        tuple(n for n in _numbers("--at-once", at_once) if n is not None),
    )


def _numbers(option: str, text: str, largest: str | None = None) -> list[int | None]:
    """A list of whole numbers; ``largest`` among them is None."""
    from gemma4ctl.settings import BadValueError, whole

    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    try:
        found = [None if word == largest else whole(word) for word in words]
    except BadValueError as error:
        raise _bad_list(option, text, str(error)) from None
    if not 1 <= len(found) <= MOST_POINTS:
        raise _bad_list(option, text, f"1 to {MOST_POINTS} numbers")
    return sorted(set(found), key=lambda n: (n is None, n or 0))


def _bad_list(option: str, text: str, needed: str) -> UsageError:
    return UsageError(
        f"{option} does not take {text!r}",
        needed=needed,
        found=text,
        remedies=[f"{option} 1k,8k,32k" if option == "--lengths" else f"{option} 1,16,64"],
        code="bad-value",
    )


def _print(document: FitDocument) -> None:
    from gemma4ctl.cli import show
    from gemma4ctl.fitting.table import report

    out = show.console()
    out.print(report(document, out.width), crop=False)


def _draw(document: FitDocument, inputs: Inputs, file: Path, *, force: bool) -> None:
    from gemma4ctl.cli.inputs import say
    from gemma4ctl.fitting.outcome import Planner
    from gemma4ctl.fitting.plot import write

    planner = Planner(inputs.inventory, inputs.profiles)
    write(document, inputs.request, planner, file, force=force)
    say(f"drawing written to {file}")


def _error(variants: tuple[VariantFit, ...]) -> NoPlanError:
    """Why nothing runs as asked: of the variant that was named, or of all."""
    if len(variants) > 1:
        return NoPlanError(
            "no variant runs as it was asked for",
            remedies=["ask for less, or name other hardware: --hardware NAME --gpus N"],
            code="nothing-fits",
        )
    one = variants[0]
    return NoPlanError(
        one.reason,
        needed=one.needed,
        found=one.found,
        remedies=one.remedies,
        code="does-not-fit",
    )
