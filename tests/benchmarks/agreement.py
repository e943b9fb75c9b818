"""Cluster-bootstrap intervals of agreement against a loop over scikit-learn: `python tests/benchmarks/agreement.py`.

The loop draws clusters again, gathers their rows, and asks `cohen_kappa_score` for every pair of raters. It is
timed on a few resamples and scaled up to all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, cohen_kappa_score

from recenter_utils.stats.agreement import PAIR_STATISTICS, overall, pairwise
from recenter_utils.stats.classification import average_precision, scores
from recenter_utils.stats.resampling import multinomial_counts


def seconds(function: Callable[[], object], times: int = 5) -> float:
    """Return the median time of some calls."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def panel(items: int, raters: int, labels: int, clusters: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return answers that lean on a truth, and the cluster of each item."""
    rng = np.random.default_rng(7)
    truth = rng.integers(labels, size=items)
    answers = np.where(rng.random((items, raters)) < 0.6, truth[:, None], rng.integers(labels, size=(items, raters)))
    return pd.DataFrame(answers, columns=[f"r{rater}" for rater in range(raters)]), np.arange(items) * clusters // items


def loop(wide: pd.DataFrame, labels: list[int], clusters: np.ndarray, resamples: int) -> np.ndarray:
    """Return the lower and upper ends as a plain loop finds them."""
    answers = wide.to_numpy()
    rows = [np.flatnonzero(clusters == name) for name in np.unique(clusters)]
    draws = []
    for counts in next(multinomial_counts(len(rows), resamples, 0)).astype(int):
        drawn = answers[np.concatenate([rows[place] for place in np.repeat(np.arange(len(rows)), counts)])]
        draws.append(
            [cohen_kappa_score(drawn[:, a], drawn[:, b], labels=labels) for a, b in combinations(range(len(wide.T)), 2)]
        )
    return np.quantile(draws, [0.025, 0.975], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=3_969)
    parser.add_argument("--raters", type=int, default=8)
    parser.add_argument("--labels", type=int, default=2)
    parser.add_argument("--clusters", type=int, default=41)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--looped", type=int, default=20, help="resamples of the loop that are timed")
    options = parser.parse_args()
    wide, clusters = panel(options.items, options.raters, options.labels, options.clusters)
    labels = list(range(options.labels))
    pairs = options.raters * (options.raters - 1) // 2
    print(
        f"{options.draws:,} resamples of {options.clusters} clusters, {options.items:,} items, "
        f"{options.labels} labels, {pairs} pairs of {options.raters} raters"
    )

    same = pairwise(wide, labels, clusters=clusters, draws=options.looped)
    np.testing.assert_allclose(same[["low", "high"]].to_numpy().T, loop(wide, labels, clusters, options.looped))
    bare = seconds(lambda: loop(wide, labels, clusters, options.looped), 1) / options.looped * options.draws
    ours = seconds(lambda: pairwise(wide, labels, clusters=clusters, draws=options.draws))
    print(f"kappa matrix {ours:.3f} s; scikit-learn loop {bare:,.0f} s, scaled from {options.looped} resamples")
    print(f"ratio {bare / ours:,.0f}; the ends of the intervals are equal where both draw {options.looped}")

    for statistic in PAIR_STATISTICS[1:]:
        took = seconds(
            lambda statistic=statistic: pairwise(
                wide, labels, statistic=statistic, clusters=clusters, draws=options.draws
            )
        )
        print(f"{statistic:>24} {took:.3f} s")
    for measurement in ("nominal", "ordinal"):
        took = seconds(
            lambda measurement=measurement: overall(
                wide, labels, measurement=measurement, clusters=clusters, draws=options.draws
            ),
            3,
        )
        print(f"{'overall, ' + measurement:>24} {took:.3f} s")

    rng = np.random.default_rng(1)
    truth = rng.random(5_000) < 0.35
    graded = truth + rng.normal(size=5_000)
    users = np.arange(5_000) % 77
    took = seconds(lambda: scores(truth, graded > 0.5, users, draws=options.draws))
    print(f"{'six scores, 5,000 items':>24} {took:.3f} s")
    took = seconds(lambda: average_precision(truth, graded, users, draws=2_000))
    one = seconds(lambda: average_precision_score(truth, graded), 20)
    print(
        f"{'average precision':>24} {took:.3f} s for 2,000 resamples; scikit-learn {one * 2_000:.1f} s without drawing"
    )


if __name__ == "__main__":
    main()
