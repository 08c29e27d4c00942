"""Plans one case of the matrix and checks what it renders to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gemma4ctl.errors import NoPlanError
from gemma4ctl.flags.parse import parse
from gemma4ctl.flags.table import load
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.matrix.cases import Case
from gemma4ctl.matrix.forms import Problem, disagreements
from gemma4ctl.planning.engine import plan
from gemma4ctl.planning.plan import Plan
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.rendering.command import ENTRY, argv, environment


class Planned(NamedTuple):
    """What a plan comes to.

    ``warnings`` are codes; ``rendered`` is False where an equal plan was rendered already.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    image: str | None
    gpus: int
    warnings: tuple[str, ...]
    rendered: bool = True


class Outcome(NamedTuple):
    """A case with its plan, or with the code of its refusal."""

    case: Case
    planned: Planned | None = None
    refusal: str | None = None
    problems: tuple[Problem, ...] = ()


def resolve(
    batch: Iterable[Case], nodes: Mapping[str, Inventory], profiles: Profiles
) -> list[Outcome]:
    """The outcomes of ``batch``; ``nodes`` are the hosts by platform.

    Plans of the batch that are equal in command, environment, image and kind of GPU are rendered
    once.
    """
    known: dict[tuple[object, ...], tuple[Problem, ...]] = {}
    outcomes: list[Outcome] = []
    for case in batch:
        try:
            made = plan(case.request(), nodes[case.platform], profiles, advise=False)
        except NoPlanError as error:
            outcomes.append(Outcome(case, refusal=error.code or "no-plan"))
            continue
        planned = _planned(made)
        key = (made.release, made.hardware.vendor, made.hardware.architecture, *planned[:-2])
        rendered = key not in known
        if rendered:
            known[key] = tuple(_problems(made))
        planned = planned._replace(rendered=rendered)
        outcomes.append(Outcome(case, planned, problems=known[key]))
    return outcomes


def _planned(made: Plan) -> Planned:
    return Planned(
        argv=tuple(argv(made)),
        env=tuple(environment(made).items()),
        image=made.image.reference if made.image else None,
        gpus=made.hardware.gpu_count,
        warnings=tuple(warning.code for warning in made.warnings),
    )


def _problems(made: Plan) -> Iterator[Problem]:
    """What the release's own flags say of the command, and where the forms differ."""
    flags = load(made.release)
    if not flags.exact:
        message = f"no flag table of SGLang {made.release}: checked with that of {flags.release}"
        yield Problem("argv", "flag-table-missing", message)
    for problem in parse(argv(made)[len(ENTRY) :], flags).problems:
        yield Problem("argv", problem.code, problem.message)
    yield from disagreements(made)
