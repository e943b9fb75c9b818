"""Whose work an author should look at: a stated rule in place of an eye (§4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recenter_utils.scales import ATTRIBUTE_QUALITY, Scale

#: The rule of `standing_apart`, as a page states it.
RULE = (
    "An annotator stands apart whose answers to the items shared with another annotator fall on the labels in "
    "other proportions, by 20 points or more (on a scale of degrees: a fifth of its length) with more than half of the "
    "other annotators, where chance exchanges of answers make that in less than 1% of cases; or whose median kappa "
    "with the others is less than half of theirs, the median upper end of its intervals being below theirs as well; or "
    "who passes less than 70% of five or more check items. Annotators with fewer than 20 shared items are not compared."
)
FEWEST_SHARED = 20
FARTHEST = 0.20
RAREST = 0.01
FEWEST_CHECKS = 5
PASSED = 0.70


def standing_apart(
    answers: pd.DataFrame,
    pairs: pd.DataFrame,
    checks: Mapping[str, tuple[int, int]] | None = None,
    *,
    scale: Scale = ATTRIBUTE_QUALITY,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, str]:
    """Return whose work an author should look at, each with the reason in words (RULE).

    All comparisons are on shared items, so that somebody who did only a pilot is compared on the pilot, and with the
    median of the other annotators, so that one who stands apart does not make others look so. With two annotators
    nobody can say which of them it is: only check items count then.

    Args:
        answers: One row an item, one column a rater.
        pairs: `stats.agreement.pairwise` of these answers, with intervals, by the scale's kappa.
        checks: How many check items a rater passed, and of how many; also raters without answers.
        scale: What they answer on.
        draws: Chance exchanges of answers.
        seed: Where they start.
    """
    raters = list(answers.columns)
    codes = _codes(answers, scale.labels)
    others = _compared_with(codes)
    reasons: dict[str, list[str]] = {rater: [] for rater in [*raters, *sorted(set(checks or {}) - set(raters))]}
    kappa = [_kappas(pairs, rater, [raters[other] for other in others[n]]) for n, rater in enumerate(raters)]
    for place, rater in enumerate(raters):
        if len(others[place]) > 1:
            reasons[rater] += _by_labels(codes, place, others[place], scale, draws, seed)
            reasons[rater] += _by_kappa(kappa[place], [kappa[other][0] for other in others[place]], scale)
    for rater, (passed, asked) in (checks or {}).items():
        if asked >= FEWEST_CHECKS and passed / asked < PASSED:
            reasons[rater].append(f"passed {passed} of {asked} check items")
    return {rater: "; ".join(found) for rater, found in reasons.items() if found}


def compared(answers: pd.DataFrame, scale: Scale = ATTRIBUTE_QUALITY) -> list[str]:
    """Return the raters whose answers can be held against those of two others or more."""
    others = _compared_with(_codes(answers, scale.labels))
    return [rater for rater, found in zip(answers.columns, others, strict=True) if len(found) > 1]


def _codes(answers: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each answer's label, shape (items, raters); -1 for none."""
    codes = np.full(answers.shape, -1)
    for place, rater in enumerate(answers.columns):
        codes[:, place] = pd.Categorical(answers[rater], categories=pd.Index(labels)).codes
    return codes


def _compared_with(codes: NDArray[np.int64]) -> list[list[int]]:
    """Return for each rater those others with whom enough items are shared."""
    there = (codes >= 0).astype(np.int64)
    shared = there.T @ there
    np.fill_diagonal(shared, 0)
    return [np.flatnonzero(row >= FEWEST_SHARED).tolist() for row in shared]


def _by_labels(codes: NDArray, rater: int, others: list[int], scale: Scale, draws: int, seed: int) -> list[str]:
    """Return what to say of a rater's label distribution, if anything."""
    labels = len(scale.labels)
    distances = []
    for other in others:
        both = (codes[:, [rater, other]] >= 0).all(axis=1)
        mine, its = _shares(codes[both, rater], labels), _shares(codes[both, other], labels)
        distances.append(float(_distance(mine, its, scale.graded)))
    # The lower of two in the middle: with two others, one who stands apart is far from both, the others from one.
    if np.quantile(distances, 0.5, method="lower") < FARTHEST:
        return []
    own, theirs = codes[:, rater], codes[:, others]
    rows = (own >= 0) & (theirs >= 0).any(axis=1)
    one, rest = _shares(own[rows], labels), _theirs(theirs[rows], labels)
    # Were the rater one like the others, each item's answers could change hands. Items with the same answers do so
    # alike, so that a draw is how many of them fall to the rater, by label.
    given = _given(np.column_stack([own, theirs])[rows], labels)
    patterns, items = np.unique(given, axis=0, return_counts=True)
    n = patterns.sum(axis=1, keepdims=True)
    drawn = np.random.default_rng(seed).multinomial(items, patterns / n, size=(draws, len(items)))
    left = (items[:, None] * patterns - drawn) / (n - 1)
    moved = _distance(drawn.sum(axis=1) / items.sum(), left.sum(axis=1) / items.sum(), scale.graded)
    # Sums of the same parts in another order differ in their last digits.
    if (1 + (moved >= _distance(one, rest, scale.graded) - 1e-9).sum()) / (1 + draws) >= RAREST:
        return []
    most = int(np.argmax(np.abs(one - rest)))
    return [
        f"answers {scale.labels[most]} to {one[most]:.0%} of the {int(rows.sum())} {scale.judged} shared with others, "
        f"they to {rest[most]:.0%}"
    ]


def _by_kappa(own: tuple[float, float], others: list[float], scale: Scale) -> list[str]:
    value, high = own
    known = [other for other in others if np.isfinite(other)]
    typical = float(np.median(known)) if known else float("nan")
    if value < typical / 2 and high < typical:
        return [f"median {scale.kappa_words} with the others {value:.2f}, theirs {typical:.2f}"]
    return []


def _kappas(pairs: pd.DataFrame, rater: str, others: list[str]) -> tuple[float, float]:
    """Return the medians of a rater's kappas with `others` and of their intervals' upper ends; NaN where unknown."""
    with_others = ((pairs["rater_a"] == rater) & pairs["rater_b"].isin(others)) | (
        (pairs["rater_b"] == rater) & pairs["rater_a"].isin(others)
    )
    own = pairs[with_others].dropna(subset=["value", "high"])
    return (float(own["value"].median()), float(own["high"].median())) if len(own) else (float("nan"), float("nan"))


def _theirs(codes: NDArray, labels: int) -> NDArray[np.float64]:
    """Return how the answers of several raters fall on the labels, each item counting once."""
    given = _given(codes, labels)
    return np.asarray((given / given.sum(axis=1, keepdims=True)).mean(axis=0))


def _given(codes: NDArray, labels: int) -> NDArray[np.int64]:
    """Return how many raters gave each item each label, shape (items, labels)."""
    return np.stack([(codes == label).sum(axis=1) for label in range(labels)], axis=1)


def _shares(codes: NDArray, labels: int) -> NDArray[np.float64]:
    return np.bincount(codes, minlength=labels) / max(len(codes), 1)


def _distance(one: NDArray, other: NDArray, graded: bool) -> NDArray[np.float64]:
    """Return the share of answers that would have to move, over the last axis (the total variation distance).

    graded: each counts by how far it would have to move, beside the whole length of the scale (Wasserstein's distance).
    """
    apart = one - other
    if graded:
        return np.asarray(np.abs(apart.cumsum(axis=-1)).sum(axis=-1) / (apart.shape[-1] - 1))
    return np.asarray(np.abs(apart).sum(axis=-1) / 2)
