"""Exact p-values of small correlations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from recenter_utils.stats.permutation import ALTERNATIVES, correlation_test, orders

pytestmark = pytest.mark.filterwarnings("error")

#: Figure 7: five models' rates of explicit mentions, and how much higher they rate responses with a mention.
MENTIONS = [0.050, 0.267, 0.568, 0.441, 0.397]
GAPS = [-0.388, -0.072, 0.373, 0.251, 0.348]


def test_the_papers_five_points_have_an_exact_p_of_a_twelfth():
    """Of 120 orders, 5 have a correlation of .90 or more, and as many of -.90 or less."""
    found = correlation_test(MENTIONS, GAPS)
    assert found.value == pytest.approx(0.9)
    assert found.p == pytest.approx(10 / 120)
    assert (found.n, found.pairings, found.exact) == (5, 120, True)
    assert correlation_test(MENTIONS, GAPS, alternative="greater").p == pytest.approx(5 / 120)
    assert stats.spearmanr(MENTIONS, GAPS).pvalue == pytest.approx(0.037, abs=5e-4)


@pytest.mark.parametrize("method", ["spearman", "pearson"])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
@settings(max_examples=25, deadline=None)
@given(points=st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=3, max_size=6))
def test_p_is_that_of_scipys_permutation_test(method, alternative, points):
    x, y = np.array(points, dtype=float).T
    assume(np.ptp(x) and np.ptp(y))
    found = correlation_test(x, y, method, alternative)
    a, b = (2 * stats.rankdata(x), 2 * stats.rankdata(y)) if method == "spearman" else (x, y)
    # The sum of products orders pairings as the correlation does, and is exact for whole numbers.
    expected = stats.permutation_test(
        (a,), lambda paired: paired @ b, permutation_type="pairings", alternative=alternative, n_resamples=math.inf
    )
    assert found.p == pytest.approx(expected.pvalue)
    assert found.value == pytest.approx(getattr(stats, f"{method}r")(x, y).statistic, abs=1e-12)


def test_all_orders_are_there_once():
    assert sorted(map(tuple, orders(4).tolist())) == sorted(
        (a, b, c, d) for a in range(4) for b in range(4) for c in range(4) for d in range(4) if len({a, b, c, d}) == 4
    )


def test_more_points_are_tested_by_random_pairings_near_the_exact_p():
    rng = np.random.default_rng(5)
    x = rng.normal(size=8)
    y = x + rng.normal(size=8)
    exact, random = correlation_test(x, y), correlation_test(x, y, exact_up_to=7)
    assert exact.exact
    assert not random.exact
    assert random.p == pytest.approx(exact.p, abs=0.01)
    assert correlation_test(x, y, exact_up_to=7) == random


def test_a_random_p_is_never_zero():
    assert correlation_test(range(30), range(30), draws=500).p == pytest.approx(2 / 501)


def test_p_of_unrelated_columns_is_uniform():
    rng = np.random.default_rng(9)
    p = [correlation_test(rng.normal(size=6), rng.normal(size=6)).p for _ in range(400)]
    for level in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 400)


def test_pearson_survives_large_and_tiny_numbers():
    x, y = np.array([1.0, 2, 4, 8]), np.array([3.0, 1, 2, 7])
    expected = correlation_test(x, y, "pearson")
    assert correlation_test(x * 1e200, y * 1e-200, "pearson") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([], [], "0 points make no correlation"),
        ([1], [2], "1 point makes no correlation"),
        ([1, None, 3], [2, 4, float("nan")], "1 point makes no correlation"),
        ([1, 1, 1], [1, 2, 3], "all numbers of a column are the same"),
    ],
)
def test_undefined_is_nan_with_the_reason(x, y, reason):
    found = correlation_test(x, y)
    assert math.isnan(found.value)
    assert math.isnan(found.p)
    assert found.reason == reason


def test_faults_of_the_caller_are_raised():
    with pytest.raises(ValueError, match="make no pairs"):
        correlation_test([1, 2], [1])
    with pytest.raises(ValueError, match="'kendall' is no correlation"):
        correlation_test([1, 2], [1, 2], "kendall")
    with pytest.raises(ValueError, match="'both' is no alternative"):
        correlation_test([1, 2], [1, 2], alternative="both")
