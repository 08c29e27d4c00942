from __future__ import annotations

import pytest

from gemma4ctl.certifying.compare import Answers, Sample, compare, compare_all, difference

from .answers import NOISE, answers, diverged, other_text

STOCK, AGAIN = answers(1), answers(2, noise=NOISE)


def test_noise_alone_passes():
    found = compare(STOCK, AGAIN, answers(3, noise=NOISE), random_weights=True)
    assert found.passed
    assert found.prompts == found.fused.same_texts == 66
    assert found.fused.values == 66 * 48
    assert found.fused.mean == pytest.approx(found.noise.mean, rel=0.1)


@pytest.mark.parametrize(("mean", "noise"), [(0.05, 0.0), (0.0, 0.1), (float("nan"), 0.0)])
def test_more_than_noise_fails(mean, noise):
    """Negative control: answers that are further away than bfloat16 explains."""
    found = compare(STOCK, AGAIN, answers(3, mean=mean, noise=noise))
    assert found.problems[0].startswith("mean difference")


def test_a_few_large_differences_fail():
    """Negative control: most prompts are right, some are not, as with slots off by one."""
    fused = answers(3, noise=NOISE)
    wrong = answers(4, mean=0.4)
    found = compare(STOCK, AGAIN, [*wrong[:2], *fused[2:]])
    assert not found.passed
    assert "p99 difference" in found.problems[0]


def test_noise_of_stock_widens_the_bounds():
    fused = answers(3, mean=0.05)
    assert not compare(STOCK, AGAIN, fused).passed
    assert compare(STOCK, answers(2, mean=0.04), fused).passed


def test_another_token_is_right_only_between_two_likely_ones():
    fused = [other_text(STOCK[0], 5), *STOCK[1:]]
    near = [diverged(STOCK[0], 5, 0.02), *STOCK[1:]]
    found = compare(near, near, fused)
    assert found.passed
    assert found.fused.same_texts == 65
    assert found.fused.widest_tie == pytest.approx(0.02)
    far = [diverged(STOCK[0], 5, 1.0), *STOCK[1:]]
    (problem,) = compare(far, far, fused).problems
    assert problem == "another token was chosen although it was 1.000 nats less likely"


def test_what_follows_another_token_is_not_compared():
    one = Sample(given=(), tokens=(1, 2, 3), logprobs=(-1.0, -1.0, -1.0), second=(-2.0,) * 3)
    other = one.model_copy(update={"tokens": (1, 9, 9), "logprobs": (-1.0, -5.0, -5.0)})
    found = difference([one], [other])
    assert (found.values, found.largest, found.same_texts) == (1, 0.0, 0)
    assert found.widest_tie == 1.0


def test_answers_that_are_all_alike_prove_nothing():
    """SGLang's own dummy weights: every logit ties, everything agrees."""
    flat = [
        Sample(given=(-12.5,) * 8, tokens=(0,) * 4, logprobs=(-12.5,) * 4, second=(-12.5,) * 4)
    ] * 66
    found = compare(flat, flat, flat, random_weights=True)
    assert found.fused.largest == 0.0
    assert found.problems == (
        "log-probabilities spread by 0.00 nats only: nothing is proved",
        "only 2% of the prompts have an answer of their own",
    )


def test_noise_in_which_everything_drowns_proves_nothing() -> None:
    """Chaotic weights: stock is as far from itself as from the answers of any other model."""
    chaos = [answers(seed, noise=3.0) for seed in (1, 2, 3)]
    found = compare(*chaos)
    assert found.noise.mean == pytest.approx(found.unrelated, rel=0.3)
    (problem,) = found.problems
    assert problem.startswith("stock differs from itself by 3.")
    assert problem.endswith("nothing is proved")


def test_unrelated_answers_are_far_apart() -> None:
    assert compare(STOCK, AGAIN, STOCK).unrelated > 100 * NOISE


def test_trained_weights_may_answer_alike():
    alike = [
        sample.model_copy(update={"tokens": (number // 2, *sample.tokens[1:])})
        for number, sample in enumerate(STOCK)
    ]
    assert compare(alike, alike, alike).passed
    (problem,) = compare(alike, alike, alike, random_weights=True).problems
    assert problem == "only 50% of the prompts have an answer of their own"


def test_few_prompts_prove_little():
    (problem,) = compare(STOCK[:10], AGAIN[:10], STOCK[:10]).problems
    assert problem == "10 prompts are too few: 64 are needed"


def test_other_prompts_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        difference(STOCK, STOCK[:-1])


def test_nothing_is_no_difference():
    assert difference([], []).mean == 0.0


def test_values_from_the_same_sums_do_not_hide_the_noise() -> None:
    """Half of stock's prompts took the same path in both runs, and are equal to the last bit."""
    stock, noisy = answers(1), answers(2, noise=0.03)
    again = [*stock[:33], *noisy[33:]]
    found = compare(stock, again, answers(3, noise=0.03))
    assert found.noise.differ < 0.6 * found.noise.values
    assert found.noise.mean == pytest.approx(found.fused.mean, rel=0.1)
    assert found.passed


@pytest.mark.parametrize("wrong", ["alone", "together", "crowd"])
def test_each_kind_of_load_is_compared(wrong: str) -> None:
    """A kernel of one batch size is wrong: the loads of other batches do not hide it."""
    kinds = ("alone", "together", "crowd", "crowd_again")
    stock = {kind: answers(seed, noise=NOISE) for seed, kind in enumerate(kinds)}
    fused = {kind: answers(seed + 4, noise=NOISE) for seed, kind in enumerate(kinds)}
    right = compare_all(Answers(**stock), Answers(**fused))
    assert list(right) == ["alone", "together", "crowd"]
    assert all(one.passed for one in right.values())
    fused[wrong] = answers(9, mean=0.5)
    found = compare_all(Answers(**stock), Answers(**fused))
    assert [kind for kind, one in found.items() if not one.passed] == [wrong]
