from __future__ import annotations

from gemma4ctl.certifying.compare import LEAST_PROMPTS
from gemma4ctl.certifying.prompts import CROWD, CROWD_TOKENS, TOKENS, crowd, prompts


def test_they_are_enough_mixed_and_always_the_same():
    made = prompts(100_000)
    assert made == prompts(100_000)
    assert len(made) >= LEAST_PROMPTS
    lengths = {len(prompt) for prompt in made}
    assert {1, 511, 512, 513} <= lengths
    assert max(lengths) > 8192
    assert all(token in TOKENS for prompt in made for token in prompt)


def test_some_share_a_prefix():
    made = prompts(100_000)
    assert sum(any(p[:-1] == q[:-1] for q in made[:-4]) for p in made[-4:]) == 4


def test_they_fit_the_context():
    assert max(map(len, prompts(300))) == 300


def test_a_crowd_is_short_and_mixed():
    made = crowd()
    assert made == crowd()
    assert len(made) == CROWD
    assert {len(prompt) for prompt in made} == set(range(1, CROWD_TOKENS + 1))
