from __future__ import annotations

from math import exp, log, sqrt

import pytest

from gemma4ctl.bench.reports.noise import ratio


def test_the_interval_is_that_of_students_t_test() -> None:
    # logarithms 0, 0.1, 0.2 and 0.3, 0.4, 0.5: difference 0.3, pooled variance 0.01, 4 degrees of
    # freedom, whose 97.5% quantile is 2.776 in every table
    found = ratio([exp(x) for x in (0, 0.1, 0.2)], [exp(x) for x in (0.3, 0.4, 0.5)])
    reach = 2.776 * 0.1 * sqrt(2 / 3)
    assert found == pytest.approx((exp(0.3), exp(0.3 - reach), exp(0.3 + reach)))
    assert found.is_noise is False


def test_one_run_each_has_no_noise_to_tell() -> None:
    assert ratio([2.0], [3.0]) == pytest.approx((1.5, None, None), nan_ok=True)
    assert ratio([2.0], [3.0]).is_noise is None


def test_one_run_beside_several_uses_their_noise() -> None:
    near, far = ratio([1.0, 1.1, 0.9], [1.05]), ratio([1.0, 1.01, 0.99], [1.3])
    assert near.is_noise is True
    assert far.is_noise is False


def test_swapping_gives_the_inverse() -> None:
    one, other = ratio([1.0, 1.2], [2.0, 2.1]), ratio([2.0, 2.1], [1.0, 1.2])
    assert log(one.value) == pytest.approx(-log(other.value))
    assert one.low and other.high and one.low == pytest.approx(1 / other.high)


def test_equal_runs_have_no_width() -> None:
    assert ratio([2.0, 2.0], [2.0, 2.0]) == (1.0, 1.0, 1.0)
    assert ratio([2.0, 2.0], [2.0, 2.0]).is_noise is True


def test_more_runs_than_the_table_has() -> None:
    many = [1.0, 1.1] * 20
    found = ratio(many, [2 * value for value in many])
    assert found.low and found.high and found.low < 2.0 < found.high
