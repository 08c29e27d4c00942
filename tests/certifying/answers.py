"""Constructed answers of two servers, with noise like that of bfloat16."""

from __future__ import annotations

import random

from gemma4ctl.certifying.compare import Sample

NOISE = 0.005  # nats


def answers(seed: int = 0, *, prompts: int = 66, noise: float = 0.0, mean: float = 0.0):
    """Answers to the same prompts; ``seed`` changes the noise only."""
    base, own = random.Random(1), random.Random(seed)
    found = []
    for number in range(prompts):
        given = [-base.uniform(1, 9) for _ in range(32)]
        chosen = [-base.uniform(0.1, 2) for _ in range(16)]
        behind = [value - base.uniform(0.5, 2) for value in chosen]
        tokens = [number * 100 + place for place in range(16)]
        found.append(
            Sample(
                given=tuple(value + own.gauss(mean, noise) for value in given),
                tokens=tuple(tokens),
                logprobs=tuple(value + own.gauss(mean, noise) for value in chosen),
                second=tuple(behind),
            )
        )
    return found


def diverged(sample: Sample, place: int, gap: float) -> Sample:
    """``sample`` as a server sees it in which the runner-up is ``gap`` nats behind at ``place``."""
    second = list(sample.second)
    second[place] = sample.logprobs[place] - gap
    return sample.model_copy(update={"second": tuple(second)})


def other_text(sample: Sample, place: int) -> Sample:
    """``sample`` with another token from ``place`` on."""
    tokens = [*sample.tokens[:place], *(token + 1 for token in sample.tokens[place:])]
    return sample.model_copy(update={"tokens": tuple(tokens)})
