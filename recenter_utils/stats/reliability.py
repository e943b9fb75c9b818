"""How reliable each rater is, without a truth to hold answers against: the model of Dawid and Skene (1979).

Each rater has a confusion matrix and each item a true label that nobody sees; both are found together by expectation
maximisation. The numbers are crowd-kit's, which takes seconds for what takes milliseconds here. Items with the same
answers count as one row with a weight; intervals come from fitting the model to many resamples of the clusters at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.resampling import intervals, resampled

#: Steps of expectation maximisation, always all of them: crowd-kit's own stopping rule counts the prior once an
#: answer, so that its bound need not rise, and stops some fits at the second step.
STEPS = 100

#: Fewest items with two answers, and fewest raters, for a fit to mean anything. Two raters who differ cannot show
#: which of them is right: three are needed for the model to be identified.
FEWEST_ITEMS = 10
FEWEST_RATERS = 3

_LEAST = 1e-10  # crowd-kit's floor under shares


class Fit(NamedTuple):
    """A fitted model; empty where `reason` says why there is none.

    priors: share of each true label. confusion: columns rater, true, answer and share. posterior: a row an item, a
    column a label.
    """

    priors: pd.Series
    confusion: pd.DataFrame
    posterior: pd.DataFrame
    reason: str = ""


def dawid_skene(wide: pd.DataFrame, labels: Sequence[str]) -> Fit:
    """Return the model fitted to answers.

    Args:
        wide: One row an item (its index names it), one column a rater; None or NaN where a rater did not answer.
        labels: Every label of the scale, in order. One that nobody gave has a share of 0 and no confusion.
    """
    if reason := undefined(wide):
        return Fit(
            pd.Series(np.nan, index=list(labels)),
            pd.DataFrame(columns=["rater", "true", "answer", "share"]),
            pd.DataFrame(columns=list(labels)),
            reason,
        )
    found = [label for label in labels if (wide == label).to_numpy().any()]
    patterns, pattern, answered = _patterns(wide, found)
    counts = np.bincount(pattern, minlength=len(patterns)).astype(float)
    (priors,), (errors,), (posterior,) = _maximised(patterns, counts[None], len(found))
    return Fit(
        pd.Series(priors, index=found).reindex(list(labels), fill_value=0.0),
        pd.DataFrame(
            [
                (rater, true, answer, errors[who, said, what])
                for what, true in enumerate(found)
                for who, rater in enumerate(wide.columns)
                for said, answer in enumerate(found)
            ],
            columns=["rater", "true", "answer", "share"],
        ),
        pd.DataFrame(posterior[pattern], index=wide.index[answered], columns=found).reindex(
            columns=list(labels), fill_value=0.0
        ),
    )


def reliabilities(
    wide: pd.DataFrame,
    fit: Fit,
    *,
    clusters: ArrayLike | None = None,
    draws: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the share of answers each rater gets right by the model, over its prior of labels: Σ p(c) e(c, c).

    Args:
        wide: The answers that `fit` was fitted to.
        fit: The model.
        clusters: What is drawn again, a name for each row, such as its user; default: single items.
        draws: Resamples, each fitted anew. In one where a rater has no answer, theirs is left out.
        seed: Where they start; the order of the rows does not matter.
        level: Share of the draws inside the interval.

    Returns:
        rater, value, low, high and reason (None, or why a number is missing).
    """
    raters = list(wide.columns)
    columns = {"rater": pd.Series(raters, dtype=object), "value": np.nan, "low": np.nan, "high": np.nan}
    if fit.reason:
        return pd.DataFrame({**columns, "reason": fit.reason})
    right = fit.confusion[fit.confusion["true"] == fit.confusion["answer"]]
    value = (right["share"] * right["true"].map(fit.priors)).groupby(right["rater"]).sum().reindex(raters)
    names, cluster = np.unique(np.arange(len(wide)) if clusters is None else np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return pd.DataFrame(
            {**columns, "value": value.to_numpy(), "reason": "one cluster has no spread between clusters"}
        )
    given = [label for label, share in fit.priors.items() if share > 0]
    patterns, pattern, answered = _patterns(wide, given)
    totals = np.zeros((len(names), len(patterns)))
    np.add.at(totals, (cluster[answered], pattern), 1)
    drawn = resampled(totals, lambda weights: _fitted(patterns, weights, len(given)), draws, seed)
    low, high = intervals(drawn, level)
    return pd.DataFrame({**columns, "value": value.to_numpy(), "low": low, "high": high, "reason": None})


def undefined(wide: pd.DataFrame) -> str:
    """Return why the model cannot be fitted to these answers; empty where it can."""
    raters = int(wide.notna().any(axis=0).sum())
    shared = int((wide.notna().sum(axis=1) > 1).sum())
    if raters < FEWEST_RATERS:
        return f"{raters} annotator{'s' * (raters != 1)} cannot show who is right; the model needs {FEWEST_RATERS}"
    if shared < FEWEST_ITEMS:
        return f"{shared} attributes have two answers; the model needs {FEWEST_ITEMS}"
    if pd.unique(wide.to_numpy().ravel()[wide.notna().to_numpy().ravel()]).size < 2:
        return "everybody gave one and the same answer"
    return ""


def _patterns(wide: pd.DataFrame, labels: Sequence[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the distinct rows of answers as codes of labels (-1: none), whose row is which, and who has an answer."""
    codes = np.column_stack([pd.Index(labels).get_indexer(pd.Index(wide[rater])) for rater in wide.columns])
    answered = np.asarray((codes >= 0).any(axis=1))
    patterns, pattern = np.unique(codes[answered], axis=0, return_inverse=True)
    return patterns, pattern.reshape(-1), answered


def _fitted(patterns: NDArray[Any], weights: NDArray[np.float64], labels: int) -> NDArray[np.float64]:
    """Return each rater's reliability, shape (draws, raters), in models fitted as `_maximised` has it."""
    priors, errors, _ = _maximised(patterns, weights, labels)
    found = np.einsum("dc,drcc->dr", priors, errors)
    answered = weights @ (patterns >= 0).astype(float) > 0
    return np.where(answered, found, np.nan)


def _maximised(
    patterns: NDArray[Any], weights: NDArray[np.float64], labels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return models fitted to weighted patterns of answers.

    patterns: codes of labels, -1 for none, shape (patterns, raters); weights: shape (draws, patterns).

    Returns the priors, shape (draws, labels), the raters' errors, shape (draws, raters, answers, true labels), and how
    likely each true label of a pattern is, shape (draws, patterns, labels).
    """
    given = (patterns[:, :, None] == np.arange(labels)).astype(float)  # pattern, rater, answer
    raters = patterns.shape[1]
    votes = given.sum(axis=1)
    flat = given.reshape(len(patterns), -1)
    ever = given.any(axis=0)  # rater, answer
    posterior = np.broadcast_to(votes / votes.sum(axis=1, keepdims=True), (len(weights), *votes.shape))
    for step in range(STEPS + 1):
        weighted = weights[:, :, None] * posterior
        priors = weighted.sum(axis=1) / weights.sum(axis=1)[:, None]
        errors = (flat.T @ weighted).reshape(len(weights), raters, labels, labels)  # draw, rater, answer, true
        errors = np.where(ever[:, :, None], errors.clip(_LEAST), 0)
        errors /= errors.sum(axis=2, keepdims=True)
        if step < STEPS:
            known = np.log(np.where(errors > 0, errors, 1)).reshape(len(weights), -1, labels)
            likely = np.log(priors.clip(_LEAST))[:, None, :] + flat @ known
            posterior = np.exp(likely - likely.max(axis=2, keepdims=True))
            posterior /= posterior.sum(axis=2, keepdims=True)
    return priors, errors, posterior
