"""Whether annotators' disagreement is noise or taste: can a model learn whose rating it is? (§6.3)

Three tests, on requests that no model saw. A model of an annotator's own ratings against one of another annotator's:
both learned from single ratings that are about as noisy, so that only taste makes the first better. The same against
the pooled model, which learned from less noisy means: which of the two to use. And a model of how far an annotator is
from the others' mean, which can predict nothing if that is noise.

None of them can show that there is no taste: these models may not see what it goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.annotation.annotators import SOMEBODY
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses.reward_data import LEAST_RATINGS, Rated
from recenter_utils.responses.rewards import Predicted
from recenter_utils.stats.pairs import Drawn
from recenter_utils.stats.predictions import fits, mean, out_of_fold

Array = NDArray[np.float64]

#: What is measured for each annotator, and whose ratings the model in question learned from.
PARTS = {
    "pooled": ("spearman", "pooled"),
    "own": ("spearman", "own"),
    "another": ("spearman", "another"),
    "own_less_pooled": ("own_less_pooled", "own"),
    "own_less_another": ("own_less_another", "own"),
    "disagreement": ("spearman", "disagreement"),
}

_TWO = "it takes two annotators with enough ratings"


def measure(rated: Rated, predicted: Predicted, draws: int, seed: int) -> list[dict[str, Any]]:
    """Return the rows of `reward_scores` for single annotators, and for the mean over them.

    An annotator with too few ratings has rows that say so.
    """
    if not predicted.models:
        return []
    found = {place: _annotator(rated, predicted, place, draws, seed) for place in predicted.own}
    rows = []
    parts = len(np.unique(rated.parts))
    for place, annotator in enumerate(rated.annotators):
        n = int(np.isfinite(rated.numbers[:, place]).sum())
        few = Drawn(np.nan, np.empty(0), 0, n, f"fewer than {LEAST_RATINGS} ratings of two parts of the requests")
        rows += _rows(found.get(place, dict.fromkeys(PARTS, few)), annotator, place, rated, predicted, parts)
    if found:
        means = {name: mean([one[name] for one in found.values()]) for name in PARTS}
        rows += _rows(means, None, None, rated, predicted, parts)
    return rows


def _annotator(rated: Rated, predicted: Predicted, place: int, draws: int, seed: int) -> dict[str, Drawn]:
    """Return what is measured of one annotator, all from the same resamples."""
    single = rated.numbers[:, place]
    others = [other for other in predicted.own if other != place]
    said = [predicted.models[predicted.first].values, *(predicted.own[one].values for one in (place, *others))]
    wanted = [single] * len(said)
    if place in predicted.disagreement:
        said.append(predicted.disagreement[place].values)
        wanted.append(single - rated.others(place))
    numbers = fits(np.column_stack(wanted), np.column_stack(said), "spearman", rated.requests, draws=draws, seed=seed)
    pooled, own = numbers[:2]
    alone = Drawn(np.nan, np.full(draws, np.nan), 0, own.n, _TWO)
    another = mean(numbers[2 : 2 + len(others)]) if others else alone
    return {
        "pooled": pooled,
        "own": own,
        "another": another._replace(n=own.n),
        "own_less_pooled": own.less(pooled)._replace(n=own.n) if others else alone,
        "own_less_another": own.less(another)._replace(n=own.n),
        "disagreement": numbers[-1] if place in predicted.disagreement else alone,
    }


def _rows(
    found: Mapping[str, Drawn],
    annotator: str | None,
    place: int | None,
    rated: Rated,
    predicted: Predicted,
    parts: int,
) -> list[dict[str, Any]]:
    rows = []
    for name, drawn in found.items():
        statistic, teacher = PARTS[name]
        one = out_of_fold(drawn, parts, (-1.0, 1.0) if statistic == "spearman" else (-2.0, 2.0)).interval()
        rows.append(
            {
                "analysis": "annotators",
                "model": predicted.first,
                "rater_kind": "trained",
                "learned_from": teacher,
                "annotator": annotator,
                "n_ratings": _learned(predicted, teacher, place),
                "measure": statistic,
                "n": drawn.n,
                **one._asdict(),
                "reason": one.reason or None,
            }
        )
    return rows


def _learned(predicted: Predicted, teacher: str, place: int | None) -> int:
    """Return how many ratings the models learned from, a mean over those in question."""
    if teacher == "pooled":
        return round(predicted.models[predicted.first].n_ratings)
    known = predicted.disagreement if teacher == "disagreement" else predicted.own
    if teacher == "another":
        places = [one for one in known if one != place]
    else:
        places = [one for one in known if place in (None, one)]
    return round(float(np.mean([known[one].n_ratings for one in places]))) if places else 0


def for_page(scores: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return each annotator's numbers as a page shows them, then the mean over annotators.

    names: see `annotators.page_names`.
    """
    part = scores.filter(analysis="annotators")
    if part.is_empty():
        return pl.DataFrame(schema={"annotator": pl.String, "ratings": pl.Int64})
    rows = []
    for annotator in part["annotator"].unique(maintain_order=True):
        own = part.filter(pl.col("annotator").eq_missing(pl.lit(annotator)))
        shown = names.get(annotator, SOMEBODY) if annotator is not None else "mean over annotators"
        known = {_name(one): one for one in own.to_dicts()}
        cells = {name: in_cell(known[name]) for name in PARTS}
        notes = dict.fromkeys(known[name]["reason"] for name in PARTS if known[name]["reason"])
        rows.append({"annotator": shown, "ratings": known["own"]["n"], **cells, "note": "; ".join(notes) or None})
    return pl.DataFrame(rows)


def _name(one: Mapping[str, Any]) -> str:
    return next(name for name, known in PARTS.items() if known == (one["measure"], one["learned_from"]))


def sentence(rated: Rated, scores: pl.DataFrame) -> str:
    """Return as a claim what can be said of noise and taste. scores: the table `reward_scores`."""
    word = rated.word
    part = scores.filter(pl.col("analysis") == "annotators", pl.col("annotator").is_null())
    rows = {_name(one): interval_of(one) for one in part.to_dicts()}
    if not rows:
        why = rated.lacking or f"nobody has {LEAST_RATINGS} ratings of two parts of the requests"
        return f"Whether {word} disagree by noise or by taste cannot be said: {why}."
    taste, use, apart = (rows[name] for name in ("own_less_another", "own_less_pooled", "disagreement"))
    if taste.value != taste.value:
        return f"Whether {word} disagree by noise or by taste cannot be said: {taste.reason}."
    said = [
        "The Spearman correlation of an annotator's ratings with a model of their own, less that with a model of "
        f"another annotator's, is {with_interval(taste, '{:+.2f}')} on average over {word}; how far an annotator is "
        f"from the others' mean is predicted with a correlation of {with_interval(apart, '{:.2f}')}"
    ]
    if taste.low > 0 or apart.low > 0:
        said.append("So part of their disagreement is taste: noise could not be predicted")
    else:
        said.append(
            "So taste is not shown, nor is it ruled out: there may be less of it than this can see, or it goes by what "
            "these models do not read"
        )
    better = "The pooled model" if use.high < 0 else "A model each" if use.low > 0 else "Neither"
    said.append(
        f"With a model of their own less with the pooled model: {with_interval(use, '{:+.2f}')}. {better} is shown to "
        "predict single annotators better"
    )
    return ". ".join(said) + "."
