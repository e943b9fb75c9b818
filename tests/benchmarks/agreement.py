"""Cluster-bootstrap intervals of agreement, beside a loop over scikit-learn and beside the draws and products alone.

`python -m tests.benchmarks.agreement [--items 3969]`

The loop draws clusters again, gathers their rows, and asks `cohen_kappa_score` for every pair of raters. It is
timed on a few resamples and scaled up to all of them. At one size, other statistics are timed too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, cohen_kappa_score

from recenter_utils.stats.agreement import PAIR_STATISTICS, overall, pairwise
from recenter_utils.stats.classification import average_precision, scores
from recenter_utils.stats.resampling import multinomial_counts
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare, seconds

PART, UNIT = "agreement intervals", "items"
SIZES = {"small": (100, 200, 400), "full": (1_000, 4_000, 16_000)}

RATERS, LABELS, CLUSTERS, DRAWS = 8, 2, 41, 10_000
#: Resamples of the loop that are timed.
LOOPED = 5


def panel(items: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return answers that lean on a truth, and the cluster of each item."""
    rng = np.random.default_rng(7)
    truth = rng.integers(LABELS, size=items)
    answers = np.where(rng.random((items, RATERS)) < 0.6, truth[:, None], rng.integers(LABELS, size=(items, RATERS)))
    return pd.DataFrame(answers, columns=[f"r{rater}" for rater in range(RATERS)]), np.arange(items) * CLUSTERS // items


def loop(wide: pd.DataFrame, clusters: np.ndarray) -> np.ndarray:
    """Return the lower and upper ends as a plain loop over so few resamples finds them."""
    answers, labels = wide.to_numpy(), list(range(LABELS))
    rows = [np.flatnonzero(clusters == name) for name in np.unique(clusters)]
    draws = []
    for counts in next(multinomial_counts(len(rows), LOOPED, 0)).astype(int):
        drawn = answers[np.concatenate([rows[place] for place in np.repeat(np.arange(len(rows)), counts)])]
        draws.append(
            [cohen_kappa_score(drawn[:, a], drawn[:, b], labels=labels) for a, b in combinations(range(RATERS), 2)]
        )
    return np.quantile(draws, [0.025, 0.975], axis=0)


def products(clusters: int, columns: int, draws: int = DRAWS) -> None:
    """Draw clusters again and sum so many columns over them, and no more."""
    sums = np.random.default_rng(0).random((clusters, columns))
    for counts in multinomial_counts(clusters, draws, 0):
        counts @ sums


def measure(size: int) -> Row:
    wide, clusters = panel(size)
    labels, pairs = list(range(LABELS)), RATERS * (RATERS - 1) // 2
    same = pairwise(wide, labels, clusters=clusters, draws=LOOPED)
    np.testing.assert_allclose(same[["low", "high"]].to_numpy().T, loop(wide, clusters))
    return compare(
        PART, size, UNIT, lambda: pairwise(wide, labels, clusters=clusters, draws=DRAWS),
        Way("a loop over resamples and scikit-learn's cohen_kappa_score", lambda: loop(wide, clusters), LOOPED / DRAWS),
        Way("the draws and their matrix products", lambda: products(CLUSTERS, pairs * LABELS**2)),
        f"{DRAWS:,} resamples of {CLUSTERS} clusters, kappa of {pairs} pairs of {RATERS} raters; the same ends",
    )  # fmt: skip


def others(size: int) -> Iterator[str]:
    wide, clusters = panel(size)
    settings = {"labels": list(range(LABELS)), "clusters": clusters, "draws": DRAWS}
    for name in PAIR_STATISTICS[1:]:
        yield f"{name:>24} {seconds(lambda name=name: pairwise(wide, statistic=name, **settings)):.3f} s"
    for name in ("nominal", "ordinal"):
        yield f"{'overall, ' + name:>24} {seconds(lambda name=name: overall(wide, measurement=name, **settings)):.3f} s"
    rng = np.random.default_rng(1)
    truth = rng.random(5_000) < 0.35
    graded, users = truth + rng.normal(size=5_000), np.arange(5_000) % 77
    yield f"{'six scores, 5,000 items':>24} {seconds(lambda: scores(truth, graded > 0.5, users, draws=DRAWS)):.3f} s"
    took = seconds(lambda: average_precision(truth, graded, users, draws=2_000))
    one = seconds(lambda: [average_precision_score(truth, graded) for _ in range(20)]) / 20
    yield (
        f"{'average precision':>24} {took:.3f} s for 2,000 resamples; scikit-learn {one * 2_000:.1f} s without drawing"
    )


if __name__ == "__main__":
    alone(UNIT, SIZES, measure, others)
