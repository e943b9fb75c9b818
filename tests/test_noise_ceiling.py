"""How well anybody can predict annotators, and how well somebody does: equal to the references, and recovered."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from recenter_utils.stats.noise_ceiling import ceiling, reliability
from recenter_utils.stats.predictions import fits, mean, out_of_fold
from recenter_utils.stats.resampling import multinomial_counts


def rated(seed: int, items: int = 300, raters: int = 3, shared: float = 0.5, noise: float = 0.8) -> np.ndarray:
    """Return ratings of items that share a deviation, with noise, and with a level for each rater."""
    rng = np.random.default_rng(seed)
    levels = np.linspace(-0.4, 0.5, raters)
    return 3 + shared * rng.standard_normal((items, 1)) + noise * rng.standard_normal((items, raters)) + levels


def test_reliability_of_a_full_table_is_cronbachs_alpha_icc_and_spearman_brown() -> None:
    ratings = rated(0)
    n, k = ratings.shape
    found = reliability(ratings, draws=0).value
    alpha = k / (k - 1) * (1 - ratings.var(axis=0, ddof=1).sum() / ratings.sum(axis=1).var(ddof=1))
    assert found == pytest.approx(alpha)
    long = pd.DataFrame(ratings).reset_index().melt("index", var_name="rater", value_name="rating")
    # ICC(3, k) = (mean square between items - that of the residual) / that between items
    within = AnovaRM(long, "rating", "index", ["rater"]).fit().anova_table
    residual = ((ratings - ratings.mean(axis=0) - ratings.mean(axis=1, keepdims=True) + ratings.mean()) ** 2).sum()
    residual /= (n - 1) * (k - 1)
    between = k * ratings.mean(axis=1).var(ddof=1)
    assert float(within["Den DF"].iloc[0]) == (n - 1) * (k - 1)
    assert found == pytest.approx((between - residual) / between)
    alike = (ratings - ratings.mean(axis=0)) / ratings.std(axis=0)
    single = (np.corrcoef(alike.T).sum() - k) / (k * (k - 1))
    assert reliability(alike, draws=0).value == pytest.approx(k * single / (1 + (k - 1) * single))


def test_the_ceiling_is_what_knowledge_of_the_shared_part_reaches() -> None:
    rng = np.random.default_rng(1)
    shared = rng.standard_normal(40_000)
    ratings = shared[:, None] + 1.5 * rng.standard_normal((40_000, 4))
    (reached,) = fits(ratings.mean(axis=1), shared[:, None], "pearson", draws=0)
    assert ceiling(reliability(ratings, draws=0)).value == pytest.approx(reached.value, abs=0.01)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_a_planted_reliability_lies_within_the_interval(missing: float) -> None:
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 1])
        clusters = np.repeat(np.arange(40), 8)
        between = 0.3 * rng.standard_normal(40)[clusters, None]
        ratings = rated(seed, 320, shared=0.4) + between
        ratings[rng.random(ratings.shape) < missing] = np.nan
        times = np.isfinite(ratings).sum(axis=1)
        noise = 0.64 * (1 / times[times > 0]).mean()
        levels = np.linspace(-0.4, 0.5, 3)
        who = [levels[known].mean() for known in np.isfinite(ratings) if known.any()]
        truth = 0.25 / (0.25 + noise + np.var(who))
        found = reliability(ratings, clusters, draws=200, seed=seed).interval()
        hits += found.low <= truth <= found.high
    assert hits >= 50


def test_annotators_who_share_nothing_have_no_ceiling_above_nothing() -> None:
    ratings = rated(3, shared=0.0)
    found = reliability(ratings, draws=200)
    assert abs(found.value) < 0.25
    opposed = ratings[:, :1] * np.array([1.0, -1.0]) + 0.1 * ratings[:, 1:]
    top = ceiling(reliability(opposed, draws=50))
    assert top.value == 0
    assert top.note == "annotators agree no more than by chance"


def test_what_has_no_ceiling_says_why() -> None:
    one = reliability(rated(0, raters=1), draws=50)
    assert np.isnan(one.value)
    assert ceiling(one).interval().reason == "it takes two annotators who rated the same items"
    apart = np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, np.nan]])
    assert np.isnan(reliability(apart, draws=50).value)
    same = reliability(np.full((5, 2), 3.0), draws=50)
    assert same.note == "all mean ratings are the same"
    assert np.isnan(reliability(np.empty((0, 0)), draws=50).value)


def test_fits_are_scipys_and_share_their_resamples() -> None:
    rng = np.random.default_rng(0)
    target = np.rint(3 + rng.standard_normal(120)).clip(1, 5)
    said = np.column_stack([target + rng.standard_normal(120), rng.integers(1, 6, 120).astype(float)])
    said[::7, 1] = np.nan
    target[5] = np.nan
    clusters = np.repeat(np.arange(20), 6)
    for place in (0, 1):
        known = np.isfinite(said[:, place]) & np.isfinite(target)
        x, y = target[known], said[known, place]
        for statistic, wanted in (
            ("spearman", stats.spearmanr(x, y)[0]),
            ("pearson", stats.pearsonr(x, y)[0]),
            ("mse", ((x - y) ** 2).mean()),
        ):
            found = fits(target, said, statistic, clusters, draws=50)[place]
            assert found.value == pytest.approx(wanted)
            assert found.n == known.sum()
            (counts,) = multinomial_counts(20, 50, 0)
            rows = np.repeat(np.flatnonzero(known), counts[7][clusters[known]].astype(int))
            again = {
                "spearman": lambda a, b: stats.spearmanr(a, b)[0],
                "pearson": lambda a, b: stats.pearsonr(a, b)[0],
                "mse": lambda a, b: ((a - b) ** 2).mean(),
            }[statistic](target[rows], said[rows, place])
            assert found.draws[7] == pytest.approx(again)
    first, second = fits(target, said, "spearman", clusters, draws=50)
    assert mean([first, second]).value == pytest.approx((first.value + second.value) / 2)


def test_an_undefined_fit_says_why() -> None:
    target = np.array([1.0, 2.0, 3.0])
    said = np.array([[2.0, np.nan, np.nan], [2.0, np.nan, 1.0], [2.0, np.nan, np.nan]])
    notes = [one.note for one in fits(target, said, "spearman", draws=10)]
    assert notes == [
        "all predictions are the same",
        "nothing is both rated and predicted",
        "one item is no correlation",
    ]
    (flat,) = fits(np.ones(3), target[:, None], "pearson", draws=10)
    assert flat.note == "all ratings are the same"


def test_what_is_cross_validated_has_a_wider_interval_within_its_ends() -> None:
    (found,) = fits(np.arange(30.0), np.arange(30.0)[:, None] + np.sin(np.arange(30))[:, None] * 9, "spearman")
    wider = out_of_fold(found, 5, (-1, 1))
    assert wider.value == found.value
    assert found.value - wider.interval().low == pytest.approx(1.5 * (found.value - found.interval().low))
    assert wider.draws.max() <= 1
