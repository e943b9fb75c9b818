"""Whether annotators' disagreement is noise or taste: can a model learn whose rating it is? (§6.3)

Models of single annotators are held, on requests that they never saw, to the annotator whom they learned from and to
the others. Where two annotators go by the same, be one noisier or sparing with the scale, a correlation of a model with
ratings is what the model knows times what the ratings hold of it: exchange the models, and the product of the two
correlations stays as it is, 0 where one only guesses. Where they go by different things it falls. So the evidence of
taste is the product with each one's own model less the product with the models exchanged. That an own model is better
than another's is none, nor that somebody's distance from the others can be predicted: unequal noise does both.

It cannot show that there is no taste: these models may not see what it goes by. And whoever runs into an end of the
scale that the other one does not reach goes by something else in part, as far as a model can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
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
    "own_less_exchanged": ("own_less_exchanged", "own"),
}

_TWO = "it takes two annotators with enough ratings"


def measure(rated: Rated, predicted: Predicted, draws: int, seed: int) -> list[dict[str, Any]]:
    """Return the rows of `reward_scores` for single annotators, and for the mean over them.

    An annotator with too few ratings has rows that say so.
    """
    if not predicted.models:
        return []
    crossed = _crossed(rated, predicted, draws, seed)
    found = {place: _annotator(rated, predicted, place, crossed, draws, seed) for place in predicted.own}
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


def _crossed(rated: Rated, predicted: Predicted, draws: int, seed: int) -> dict[tuple[int, int], Drawn]:
    """Return Pearson's correlation of each annotator's model, first, with each annotator's ratings, second.

    Of ranks the products would not be equal where annotators go by the same.
    """
    pairs = [*product(predicted.own, predicted.own)]
    if not pairs:
        return {}
    said = np.column_stack([predicted.own[model].values for model, _ in pairs])
    wanted = rated.numbers[:, [judge for _, judge in pairs]]
    return dict(zip(pairs, fits(wanted, said, "pearson", rated.requests, draws=draws, seed=seed), strict=True))


def exchanged(one: Drawn, other: Drawn, crossed: Drawn, back: Drawn) -> Drawn:
    """Return the product of two annotators' correlations with their own models less that with the models exchanged.

    Two negative correlations of exchanged models count as a negative product, and one as 0: annotators who want the
    opposite differ most of all.

    one, other: each one's ratings and own model. crossed, back: each one's model and the other one's ratings.
    """

    def apart(own: Any, its: Any, over: Any, under: Any) -> Any:
        return own * its - (over * np.abs(under) + under * np.abs(over)) / 2

    parts = (one, other, crossed, back)
    return Drawn(
        float(apart(*(part.value for part in parts))),
        apart(*(part.draws for part in parts)),
        min(part.clusters for part in parts),
        one.n,
        "; ".join(dict.fromkeys(part.note for part in parts if part.note)),
    )


def _annotator(
    rated: Rated, predicted: Predicted, place: int, crossed: Mapping[tuple[int, int], Drawn], draws: int, seed: int
) -> dict[str, Drawn]:
    """Return what is measured of one annotator, all from the same resamples. crossed: see `_crossed`."""
    single = rated.numbers[:, place]
    others = [other for other in predicted.own if other != place]
    said = [predicted.models[predicted.first].values, *(predicted.own[one].values for one in (place, *others))]
    numbers = fits(single, np.column_stack(said), "spearman", rated.requests, draws=draws, seed=seed)
    pooled, own = numbers[:2]
    alone = Drawn(np.nan, np.full(draws, np.nan), 0, own.n, _TWO)
    another = mean(numbers[2:]) if others else alone
    pairs = [exchanged(crossed[place, place], crossed[to, to], crossed[place, to], crossed[to, place]) for to in others]
    return {
        "pooled": pooled,
        "own": own,
        "another": another._replace(n=own.n),
        "own_less_pooled": own.less(pooled)._replace(n=own.n) if others else alone,
        "own_less_exchanged": mean(pairs)._replace(n=own.n) if pairs else alone,
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
    if teacher == "another":
        places = [one for one in predicted.own if one != place]
    else:
        places = [one for one in predicted.own if place in (None, one)]
    return round(float(np.mean([predicted.own[one].n_ratings for one in places]))) if places else 0


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
    taste, use = (rows[name] for name in ("own_less_exchanged", "own_less_pooled"))
    if taste.value != taste.value:
        return f"Whether {word} disagree by noise or by taste cannot be said: {taste.reason}."
    said = [
        "The correlations of two annotators' ratings with a model each, multiplied, less the same with their models "
        f"exchanged: {with_interval(taste, '{:+.3f}')} on average over pairs of {word}"
    ]
    if taste.low > 0:
        said.append(
            "So part of their disagreement is taste, or an end of the scale that some of them run into: noise, however "
            "unequal, would give 0"
        )
    else:
        said.append(
            "That is not shown to be above 0, where noise would leave it. So taste is not shown, nor is it ruled out: "
            "there may be less of it than this can see, or it goes by what these models do not read"
        )
    better = "The pooled model" if use.high < 0 else "A model each" if use.low > 0 else "Neither"
    said.append(
        f"With a model of their own less with the pooled model: {with_interval(use, '{:+.2f}')}. {better} is shown to "
        "predict single annotators better"
    )
    return ". ".join(said) + "."
