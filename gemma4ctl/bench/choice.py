"""Which workloads were asked for: the published scenarios, or one with lengths of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from gemma4ctl.bench.workload import SCENARIOS, Workload
from gemma4ctl.errors import UsageError

REQUESTS_EACH = 10  # of each that is open at the same time, as in the published runs


@dataclass(frozen=True)
class Shape:
    """A load of one's own, as far as it was given."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    requests: int | None = None
    concurrency: int | None = None
    range_ratio: float | None = None
    images: int | None = None

    @property
    def given(self) -> bool:
        """Whether anything of it was given."""
        return any(getattr(self, field.name) is not None for field in fields(self))


def workloads(
    names: Sequence[str], shape: Shape, *, seed: int, images: bool | None
) -> tuple[Workload, ...]:
    """The published scenarios called ``names`` (none: all), or the load of ``shape``.

    Args:
        names: a single name is that of the load of ``shape``, where one is given.
        images: whether the endpoint takes images; None: it does not say.

    Raises:
        UsageError: an unknown scenario, or lengths that contradict or do not suffice.
    """
    if shape.given:
        return (_own(names, shape, seed),)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise UsageError(
            f"there is no scenario {unknown[0]!r}",
            needed=", ".join(SCENARIOS) + ", or lengths of your own",
            remedies=[f"--scenario {unknown[0]} --input-tokens 8192 --output-tokens 1024"],
            code="scenario-unknown",
        )
    chosen = tuple(SCENARIOS[name] for name in dict.fromkeys(names or SCENARIOS))
    if images is False:
        chosen = tuple(scenario for scenario in chosen if names or not scenario.images)
    return tuple(each.model_copy(update={"seed": seed}) for each in chosen)


def _own(names: Sequence[str], shape: Shape, seed: int) -> Workload:
    """The load of ``shape``: lengths are exact unless a range is given."""
    taken = [name for name in names if name in SCENARIOS]
    if taken or len(names) > 1:
        raise UsageError(
            "lengths of your own make one scenario of your own",
            needed="--scenario once, with a new name, or not at all",
            found=" ".join(f"--scenario {name}" for name in names),
            remedies=[f"--scenario {name} alone has the published lengths" for name in taken[:1]],
            code="scenario-shape",
        )
    if shape.input_tokens is None or shape.output_tokens is None:
        raise UsageError(
            "a load of your own needs the lengths of prompts and answers",
            needed="--input-tokens N and --output-tokens N",
            code="scenario-lengths",
        )
    concurrency = shape.concurrency or 1
    images = f"-{shape.images}-images" if shape.images else ""
    name = f"random-{shape.input_tokens}-{shape.output_tokens}{images}-c{concurrency}"
    return Workload(
        name=names[0] if names else name,
        input_tokens=shape.input_tokens,
        output_tokens=shape.output_tokens,
        range_ratio=1.0 if shape.range_ratio is None else shape.range_ratio,
        requests=shape.requests or REQUESTS_EACH * concurrency,
        concurrency=concurrency,
        images=shape.images or 0,
        seed=seed,
    )
