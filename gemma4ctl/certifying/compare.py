"""Whether two servers compute the same model, by the log-probabilities they return.

Two runs of one server already differ a little: sums of bfloat16 depend on the batch. That noise is
measured, stock against stock at another concurrency, and the fused server may differ from stock by
about as much; values that are equal to the last bit came from the same sums and tell nothing of
it. Where both make the same tokens their log-probabilities are compared one by one;
where a greedy choice differs, the two candidates must have been nearly as likely in stock, and what
follows is another text that is not compared.

A comparison that cannot see a difference proves nothing, so the answers themselves are judged too:
log-probabilities must spread, different prompts must have different answers, and the noise, twice
of which passes, must be well below what tokens that have nothing to do with each other differ by.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gemma4ctl.model import Model

MEAN_FLOOR, MEAN_NOISES = 0.02, 2.0  # nats: what bfloat16 explains without any noise measured
P99_FLOOR, P99_NOISES = 0.15, 3.0
TIE, TIE_NOISES = 0.1, 2.0  # nats between two candidates that either server may choose: both move
SPREAD = 1.0  # nats between the least and the most likely token
DISTINCT_RANDOM, DISTINCT_TRAINED = 0.9, 0.1  # of first tokens, by prompts
LEAST_PROMPTS = 64


class Sample(Model):
    """One prompt's answer: natural logarithms of probabilities.

    ``given`` are those of the prompt's last tokens, ``logprobs`` those of the greedy output
    ``tokens``, ``second`` those of the runner-up at the same places.
    """

    given: tuple[float, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    second: tuple[float, ...]


class Answers(Model):
    """What a server answers: prompts one at a time and a few at once, many at once and fewer."""

    alone: tuple[Sample, ...]
    together: tuple[Sample, ...]
    crowd: tuple[Sample, ...]
    crowd_again: tuple[Sample, ...]


class Difference(Model):
    """How far two runs are apart, in nats: of ``values`` compared ones, those that ``differ``."""

    values: int
    differ: int
    mean: float
    p99: float
    largest: float
    same_texts: int  # prompts whose greedy outputs are equal
    widest_tie: float  # largest gap between the candidates where a greedy choice differs


class Comparison(Model):
    """The verdict; ``problems`` is empty when it is favourable."""

    prompts: int
    noise: Difference  # stock against stock
    fused: Difference  # fused against stock
    spread: float
    unrelated: float  # mean difference of tokens that have nothing to do with each other, nats
    distinct: float
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the fused server computes the same model."""
        return not self.problems


def difference(one: Sequence[Sample], other: Sequence[Sample]) -> Difference:
    """How far the answers of ``other`` are from those of ``one``, prompt by prompt.

    Raises:
        ValueError: they do not answer the same prompts.
    """
    values: list[float] = []
    same, tie = 0, 0.0
    for mine, theirs in zip(one, other, strict=True):
        shared = _shared(mine.tokens, theirs.tokens)
        pairs = [
            *zip(mine.given, theirs.given, strict=True),
            *zip(mine.logprobs[:shared], theirs.logprobs[:shared], strict=True),
        ]
        values += [abs(a - b) for a, b in pairs]
        if shared == len(mine.tokens):
            same += 1
        else:
            tie = max(tie, mine.logprobs[shared] - mine.second[shared])
    apart = sorted(value for value in values if value != 0)
    return Difference(
        values=len(values),
        differ=len(apart),
        mean=sum(apart) / max(len(apart), 1),
        p99=apart[int(len(apart) * 0.99)] if apart else 0.0,
        largest=apart[-1] if apart else 0.0,
        same_texts=same,
        widest_tie=tie,
    )


def compare(
    stock: Sequence[Sample],
    again: Sequence[Sample],
    fused: Sequence[Sample],
    *,
    random_weights: bool = False,
) -> Comparison:
    """Judge ``fused`` against ``stock``, whose own noise ``again`` shows.

    Args:
        stock: answers of SGLang's own code.
        again: the same prompts and server, at another concurrency.
        fused: the same prompts, answered with fused kernels.
        random_weights: the weights are random, so that nearly every prompt must have an answer of
            its own.
    """
    noise, found = difference(stock, again), difference(stock, fused)
    spread, unrelated, distinct = _spread(stock), _unrelated(stock), _distinct(stock)
    wanted = DISTINCT_RANDOM if random_weights else DISTINCT_TRAINED
    return Comparison(
        prompts=len(stock),
        noise=noise,
        fused=found,
        spread=spread,
        unrelated=unrelated,
        distinct=distinct,
        problems=(
            *_blind(len(stock), spread, distinct, wanted),
            *_drowned(noise, unrelated),
            *_apart(noise, found),
        ),
    )


def compare_all(
    stock: Answers, fused: Answers, *, random_weights: bool = False
) -> dict[str, Comparison]:
    """The comparisons of single requests, of a few at once and of many at once.

    Each has batches, and with them kernels, of its own. Stock's noise is what it differs by from
    its own answers to the same prompts in other batches.
    """
    pairs = (("alone", "together"), ("together", "alone"), ("crowd", "crowd_again"))
    return {
        kind: compare(
            getattr(stock, kind), getattr(stock, again), getattr(fused, kind),
            random_weights=random_weights,
        )
        for kind, again in pairs
    }  # fmt: skip


def _apart(noise: Difference, found: Difference) -> list[str]:
    """Where the fused answers are further away than noise explains."""
    problems = []
    for name, floor, noises in (
        ("mean", MEAN_FLOOR, MEAN_NOISES),
        ("p99", P99_FLOOR, P99_NOISES),
    ):
        value, bound = getattr(found, name), max(floor, noises * getattr(noise, name))
        if not value <= bound:  # also when it is not a number
            problems.append(f"{name} difference {value:.4f} nats, at most {bound:.4f} is noise")
    bound = max(TIE, TIE_NOISES * noise.p99, noise.widest_tie)
    if not found.widest_tie <= bound:
        problems.append(
            f"another token was chosen although it was {found.widest_tie:.3f} nats less likely"
        )
    return problems


def _blind(prompts: int, spread: float, distinct: float, wanted: float) -> list[str]:
    """Why the answers could not have shown a difference."""
    problems = []
    if prompts < LEAST_PROMPTS:
        problems.append(f"{prompts} prompts are too few: {LEAST_PROMPTS} are needed")
    if not spread >= SPREAD:
        problems.append(f"log-probabilities spread by {spread:.2f} nats only: nothing is proved")
    if not distinct >= wanted:
        problems.append(f"only {distinct:.0%} of the prompts have an answer of their own")
    return problems


def _drowned(noise: Difference, unrelated: float) -> list[str]:
    """Whether noise is so large that answers of another model would pass."""
    if MEAN_NOISES * noise.mean <= unrelated:
        return []
    return [
        f"stock differs from itself by {noise.mean:.2f} nats, any tokens by {unrelated:.2f}: "
        "nothing is proved"
    ]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """The number of leading tokens that are equal."""
    pairs = zip(one, other, strict=True)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), len(one))


def _spread(samples: Sequence[Sample]) -> float:
    values = [value for sample in samples for value in (*sample.given, *sample.logprobs)]
    return max(values, default=0.0) - min(values, default=0.0)


def _unrelated(samples: Sequence[Sample]) -> float:
    """Every value against that of the next prompt at the same place, nats on average."""
    apart = [
        abs(a - b)
        for one, other in pairwise(samples)
        for mine, theirs in ((one.given, other.given), (one.logprobs, other.logprobs))
        for a, b in zip(mine, theirs, strict=False)
    ]
    return sum(apart) / max(len(apart), 1)


def _distinct(samples: Sequence[Sample]) -> float:
    return len({sample.tokens[:1] for sample in samples}) / max(len(samples), 1)
