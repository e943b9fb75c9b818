"""Intervals of shares: those of statsmodels, also at the ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from recenter_utils.stats.proportions import wilson


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_interval_is_that_of_statsmodels(values: list[bool], level: float) -> None:
    found = wilson(values, level=level)
    assert found.value == pytest.approx(np.mean(values))
    expected = proportion_confint(sum(values), len(values), alpha=1 - level, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_of_nothing_the_share_is_undefined_and_says_why() -> None:
    found = wilson([], "nobody was asked")
    assert math.isnan(found.value)
    assert found.reason == "nobody was asked"
