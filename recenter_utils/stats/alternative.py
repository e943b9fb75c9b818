"""The alternative annotator test: may a judge stand in for an annotator? (Calderon, Reichart and Dror 2025, ACL)

Each annotator is left out in turn. The judge and that annotator are scored on every item by how close they come to the
remaining annotators, and the judge may replace the annotator if it is closer at least as often, give or take epsilon.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from recenter_utils.stats.ratings import cluster_index, numbers
from recenter_utils.stats.resampling import Interval, interval, resampled

Array = NDArray[np.float64]

#: What the test needs, as its authors have it: below it nothing is said.
LEAST_ANNOTATORS = 3
LEAST_ITEMS = 30

#: How an answer is compared with those of the others.
KINDS = ("labels", "ratings")

NAN = float("nan")

#: Differences of squared ratings, and spreads, that are nothing but rounding.
_ROUNDING = 1e-9

_CERTAIN = "all differences are the same, so that the test has no spread to doubt them by"


class AlternativeTest(NamedTuple):
    """What the test found for one judge.

    `annotators` has a row an annotator: annotator, n (items), judge (share of these on which the judge is at least as
    close to the others), person (the same of the annotator), p and p_items (one-sided, with items in clusters and as
    independent ones; equal without clusters), replaced and replaced_items (whether the annotator may be replaced, by
    each of the two), and reason (None, or why there is no p, or what to know of it).

    `winning_rate` is the share of tested annotators who may be replaced, `winning_rate_items` the same with items as
    independent ones. `advantage` is the mean over these annotators of `judge`, with its interval. `passes` is whether
    the winning rate is at least a half. All are NaN or None where the test is undefined, and `reason` then says why.
    """

    annotators: pd.DataFrame
    winning_rate: float
    winning_rate_items: float
    advantage: Interval
    passes: bool | None
    n_items: int
    reason: str


def alternative_test(
    wide: pd.DataFrame,
    judge: ArrayLike,
    *,
    kind: str = "labels",
    epsilon: float = 0.15,
    q: float = 0.05,
    clusters: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> AlternativeTest:
    """Return whether a judge may stand in for each of several annotators.

    On an item that annotator j, the judge and at least one other answered, both are scored against the others: by the
    share of them who gave the same label, or by minus the root mean squared difference of ratings. W_judge is whether
    the judge's score is at least j's, W_j whether j's is at least the judge's: a tie counts for both. Annotator j may
    be replaced if the mean of W_j - W_judge is below epsilon by a one-sided t-test, Benjamini-Yekutieli at q over
    annotators. Scores by agreement reward whoever gives the commonest label: compare with a judge that always does.

    The published t-test takes items as independent of each other. Items that share a request or a user are not, and
    it then rejects too often. With `clusters` the variance of the mean is that of sums over clusters (Liang and Zeger
    1986, times G / (G - 1), with G - 1 degrees of freedom for G clusters), and this test decides; the published one is
    beside it. With few clusters, below about ten, even that rejects somewhat too often.

    Args:
        wide: One row an item, one column an annotator; None or NaN where there is no answer.
        judge: The judge's answer to each item; None or NaN where there is none, and the item is left out.
        kind: `labels` or `ratings`.
        epsilon: What the judge may be worse by, 0 to 1: the authors take .2 beside experts, .15 beside skilled
            annotators, .1 beside a crowd, for what a judge saves.
        q: False discovery rate over the annotators.
        clusters: The cluster of each row, such as its request; default: items are independent.
        draws: Resamples of the clusters for the interval of the advantage; 0 for none.
        seed: Where they start.
        level: Share of the draws inside the interval.

    Returns:
        See `AlternativeTest`. Annotators with fewer than 30 items, or whose items are all in one cluster, are not
        tested; the test is undefined where fewer than three are left. The interval is over clusters: these annotators
        are taken as given.

    Raises:
        ValueError: `judge` or `clusters` do not fit the rows, a rating is infinite, or `kind` is neither of the two.
    """
    if kind not in KINDS:
        raise ValueError(f"'{kind}' is no kind of answer: {', '.join(KINDS)} are.")
    said = pd.Series(list(judge), dtype=object)  # type: ignore[arg-type]
    if len(said) != len(wide):
        raise ValueError(f"{len(said)} answers of the judge and {len(wide)} items must be equally many.")
    cluster = cluster_index(clusters, len(wide))
    closest = _labels if kind == "labels" else _ratings
    judged, own, there = closest(wide, said)
    rows = []
    for place, annotator in enumerate(wide.columns):
        items = there[:, place]
        better, worse = judged[items, place], own[items, place]
        row = {"annotator": annotator, "n": int(items.sum()), "judge": _mean(better), "person": _mean(worse)}
        rows.append(row | _tested(worse - better, epsilon, cluster[items]))
    found = pd.DataFrame(rows, columns=["annotator", "n", "judge", "person", "p", "p_items", "reason"])
    tested = found["p"].notna().to_numpy()
    for name, p in (("replaced", "p"), ("replaced_items", "p_items")):
        found[name] = pd.Series([None] * len(found), dtype=object)
        if tested.any():
            adjusted = stats.false_discovery_control(found.loc[tested, p].to_numpy(dtype=float), method="by")
            found.loc[tested, name] = adjusted <= q
    found = found[["annotator", "n", "judge", "person", "p", "p_items", "replaced", "replaced_items", "reason"]]
    n_items = int(there.any(axis=1).sum())
    if reason := _lacking(found, tested):
        undefined = Interval(NAN, NAN, NAN, reason)
        return AlternativeTest(found, NAN, NAN, undefined, None, n_items, reason)
    rate, rate_items = (float(found.loc[tested, name].mean()) for name in ("replaced", "replaced_items"))
    advantage = _advantage(judged[:, tested], there[:, tested], cluster, draws, seed, level)
    notes = []
    if not tested.all():
        notes.append(f"{int((~tested).sum())} of {len(tested)} annotators could not be tested and are left out")
    if (found["reason"] == _CERTAIN).any():
        notes.append(f"beside {int((found['reason'] == _CERTAIN).sum())} of the annotators {_CERTAIN}")
    return AlternativeTest(found, rate, rate_items, advantage, rate >= 0.5, n_items, "; ".join(notes))


def one_sided(differences: ArrayLike, epsilon: float, clusters: ArrayLike | None = None) -> float:
    """Return the p of a t-test that the mean of `differences` is below epsilon: over items, or robust to clusters.

    Where all differences, or the sums over clusters that the test rests on, do not vary, p is 0 with a mean below
    epsilon, else 1. NaN with fewer than two items or clusters.
    """
    values = np.asarray(differences, dtype=float) - epsilon
    cluster = cluster_index(clusters, len(values))
    groups = int(cluster.max()) + 1 if len(values) else 0
    if groups < 2:
        return NAN
    mean = values.mean()
    strays = np.bincount(cluster, values - mean, groups)
    spread = np.sqrt(groups / (groups - 1) * (strays**2).sum()) / len(values)
    if spread <= _ROUNDING:
        return 0.0 if mean < -_ROUNDING else 1.0
    return float(stats.t.cdf(mean / spread, groups - 1))


def _tested(differences: Array, epsilon: float, cluster: NDArray[np.int64]) -> dict[str, object]:
    nothing: dict[str, object] = {"p": NAN, "p_items": NAN}
    if len(differences) < LEAST_ITEMS:
        return nothing | {"reason": f"{len(differences)} items are fewer than the {LEAST_ITEMS} that the test needs"}
    _, cluster = np.unique(cluster, return_inverse=True)
    if cluster.max() == 0:
        return nothing | {"reason": "one cluster has no spread between clusters"}
    p, p_items = one_sided(differences, epsilon, cluster), one_sided(differences, epsilon)
    return {"p": p, "p_items": p_items, "reason": _CERTAIN if np.ptp(differences) == 0 else None}


def _lacking(found: pd.DataFrame, tested: NDArray[np.bool_]) -> str:
    """Say why the test is undefined; empty where it is not."""
    if len(found) < LEAST_ANNOTATORS:
        return (
            f"the test needs {LEAST_ANNOTATORS} annotators, and there {'is' if len(found) == 1 else 'are'} {len(found)}"
        )
    if tested.sum() >= LEAST_ANNOTATORS:
        return ""
    why = found.loc[~tested, "reason"].iloc[0]
    return f"the test needs {LEAST_ANNOTATORS} annotators, and {int(tested.sum())} can be tested: {why}"


def _labels(wide: pd.DataFrame, judge: pd.Series) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return where the judge is at least as close as each annotator, where the annotator is, and where both count."""
    items, width = wide.shape
    answers = wide.astype(object).to_numpy().T.ravel()
    codes, labels = pd.factorize(np.concatenate([answers, judge.to_numpy(dtype=object)]))
    people, said = codes[: items * width].reshape(width, items).T, codes[items * width :]
    there = people >= 0
    place = np.arange(items)[:, None] * len(labels) + people
    counts = np.bincount(place[there], minlength=items * len(labels)).reshape(items, len(labels))
    row = np.arange(items)[:, None]
    # The others' answers are those of all less the annotator's own; equally many for both, so that counts compare.
    judged = counts[row, np.maximum(said, 0)[:, None]] - (people == said[:, None])
    own = counts[row, np.maximum(people, 0)] - 1
    both = there & (said >= 0)[:, None] & (there.sum(axis=1, keepdims=True) > 1)
    return (judged >= own).astype(float), (own >= judged).astype(float), both


def _ratings(wide: pd.DataFrame, judge: pd.Series) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return the same as `_labels`, by the sum of squared differences: the root and mean do not change the order."""
    people = np.column_stack([numbers(wide[name]) for name in wide.columns]) if wide.shape[1] else np.empty(wide.shape)
    said = numbers(judge)
    if np.isinf(people).any() or np.isinf(said).any():
        raise ValueError("A rating is infinite.")
    there = ~np.isnan(people)
    judged, own = np.zeros((2, *people.shape))
    for place in range(people.shape[1]):
        others = np.delete(people, place, axis=1)
        judged[:, place] = np.nansum((others - said[:, None]) ** 2, axis=1)
        own[:, place] = np.nansum((others - people[:, [place]]) ** 2, axis=1)
    both = there & ~np.isnan(said)[:, None] & (there.sum(axis=1, keepdims=True) > 1)
    same = np.isclose(judged, own, rtol=_ROUNDING, atol=_ROUNDING)
    return ((judged < own) | same).astype(float), ((own < judged) | same).astype(float), both


def _advantage(
    judged: Array, there: NDArray[np.bool_], cluster: NDArray[np.int64], draws: int, seed: int, level: float
) -> Interval:
    kept = there.any(axis=1)
    names, index = np.unique(cluster[kept], return_inverse=True)
    totals = np.zeros((len(names), judged.shape[1], 2))
    np.add.at(totals, index, np.stack([judged[kept] * there[kept], there[kept]], axis=-1))

    def value(sums: Array) -> Array:
        with np.errstate(invalid="ignore"):
            shares = sums[..., 0] / sums[..., 1]
        # A resample without any item of one annotator is the mean over the others.
        return np.nansum(shares, axis=-1) / (sums[..., 1] > 0).sum(axis=-1)

    found = float(value(totals.sum(axis=0)))
    if not draws:
        return Interval(found, NAN, NAN)
    return Interval(found, *interval(resampled(totals, value, draws, seed), level))


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else NAN
