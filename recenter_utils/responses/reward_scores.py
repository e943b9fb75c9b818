"""How well reward models predict people, beside judges and beside what annotators' noise lets anybody reach (§6.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses import taste
from recenter_utils.responses.reward_data import Rated
from recenter_utils.responses.rewards import Predicted
from recenter_utils.stats import noise_ceiling
from recenter_utils.stats.pairs import Drawn
from recenter_utils.stats.predictions import fits, out_of_fold
from recenter_utils.tables import table
from recenter_utils.training.reward.comparisons import MIDDLE
from recenter_utils.training.reward.model import rating

Array = NDArray[np.float64]

#: Resamples of requests: each ranks all comparisons anew, once for each correlation.
DRAWS = 2000

#: What a measure lies between.
ENDS = {"spearman": (-1.0, 1.0), "pearson": (-1.0, 1.0), "mse": (0.0, np.inf), "mse_gain": (-np.inf, np.inf)}

#: The kind of annotators who share what they were dealt, see `annotation.simulated_preference`.
SIMULATED = "simulated"

#: How pages call the row that is nobody's.
CEILING = "what annotators share (ceiling)"


def measure(rated: Rated, predicted: Predicted, seed: int, *, draws: int = DRAWS) -> pl.DataFrame:
    """Return the table `reward_scores`.

    rated: see `reward_data.read`. predicted: see `rewards.predict`. seed: where resamples of requests start.
    """
    rows = [
        *_beside_mean(rated, predicted, draws, seed),
        *_ceiling(rated, draws, seed),
        *_curve(rated, predicted),
        *taste.measure(rated, predicted, draws, seed),
    ]
    return table("reward_scores").frame(rows)


def said(rated: Rated, predicted: Predicted) -> dict[str, Array]:
    """Return the rating of each comparison by each reward model and each judge, NaN where there is none."""
    models = {model: rating(found.values) for model, found in predicted.models.items()}
    judges = {rated.ratings.raters[place]: rated.ratings.numbers[:, place] for place in rated.ratings.judges}
    return models | judges


def constant(rated: Rated) -> Array:
    """Return for each comparison the mean of the mean ratings of the other parts: what a guess is worth."""
    mean, found = rated.mean, np.full(len(rated.texts), np.nan)
    for part in np.unique(rated.parts):
        rest = mean[(rated.parts != part) & np.isfinite(mean)]
        found[rated.parts == part] = rest.mean() if len(rest) else MIDDLE
    return found


def _beside_mean(rated: Rated, predicted: Predicted, draws: int, seed: int) -> list[dict[str, Any]]:
    answers = said(rated, predicted)
    if not rated.counts.any() or not answers:
        return []
    table_of = np.column_stack([*answers.values()])
    found = {
        statistic: fits(rated.mean, table_of, statistic, rated.requests, draws=draws, seed=seed)
        for statistic in ("spearman", "pearson", "mse")
    }
    # On the same items as each, so that the two errors can be compared.
    guess = np.where(np.isfinite(table_of), constant(rated)[:, None], np.nan)
    guessed = fits(rated.mean, guess, "mse", rated.requests, draws=draws, seed=seed)
    found["mse_gain"] = [one.less(other) for one, other in zip(guessed, found["mse"], strict=True)]
    kinds = dict(zip(rated.ratings.raters, rated.ratings.kinds, strict=True))
    rows = []
    for place, model in enumerate(answers):
        trained = predicted.models.get(model)
        about: dict[str, Any] = {"analysis": "models", "model": model, "rater_kind": kinds.get(model, "trained")}
        if trained is not None:
            about |= {"learned_from": "pooled", "n_ratings": round(trained.n_ratings)}
        for statistic, numbers in found.items():
            one = numbers[place]._replace(n=found["spearman"][place].n)
            if trained is not None:
                one = out_of_fold(one, len(np.unique(rated.parts)), ENDS[statistic])
            rows.append(about | row(statistic, one))
    return rows


def row(measure: str, found: Drawn) -> dict[str, Any]:
    """Return a number with its interval in the columns of `reward_scores`."""
    one = found.interval()
    return {"measure": measure, "n": found.n} | one._asdict() | {"reason": one.reason or None}


def _ceiling(rated: Rated, draws: int, seed: int) -> list[dict[str, Any]]:
    if not rated.counts.any():
        return []
    shared = noise_ceiling.reliability(rated.numbers, rated.requests, draws=draws, seed=seed)
    numbers = {"reliability": shared, "ceiling": noise_ceiling.ceiling(shared)}
    return [{"analysis": "ceiling"} | row(name, found) for name, found in numbers.items()]


def _curve(rated: Rated, predicted: Predicted) -> list[dict[str, Any]]:
    """Return Spearman's correlation by number of ratings: the mean of the draws, and the lowest and highest."""
    if not predicted.models:
        return []
    every = predicted.models[predicted.first]
    rows = []
    for number, found in {**predicted.curve, round(every.n_ratings): [every]}.items():
        stacked = np.column_stack([one.values for one in found])
        numbers = fits(rated.mean, stacked, "spearman", rated.requests, draws=0)
        values = np.array([one.value for one in numbers])
        known = values[np.isfinite(values)]
        several = len(found) > 1 and len(known) > 0
        note = f"lowest and highest of {len(found)} draws of requests" if several else "all ratings: there is one draw"
        if len(known) < len(values):
            note = f"undefined in {len(values) - len(known)} of {len(values)} draws: {numbers[0].note}"
        rows.append(
            {
                "analysis": "curve",
                "model": predicted.first,
                "rater_kind": "trained",
                "learned_from": "pooled",
                "n_ratings": number,
                "measure": "spearman",
                "value": float(known.mean()) if len(known) else None,
                "low": float(known.min()) if several else None,
                "high": float(known.max()) if several else None,
                "n": numbers[0].n,
                "reason": note,
            }
        )
    return rows


def for_page(scores: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of models and judges as a page shows them, the best first, and then the ceiling."""
    schema = {"who": pl.String, "kind": pl.String, "comparisons": pl.Int64}
    part = scores.filter(analysis="models")
    if part.is_empty():
        return pl.DataFrame(schema=schema)
    texts = part.with_columns(text=pl.struct("value", "low", "high").map_elements(in_cell, pl.String))
    wide = texts.pivot("measure", index=["model", "rater_kind", "n"], values="text", maintain_order=True)
    order = part.filter(measure="spearman").select("model", rank="value", note="reason")
    wide = wide.join(order, on="model").sort("rank", "model", descending=[True, False], nulls_last=True)
    shown = wide.select(
        "spearman", "pearson", "note", who="model", kind=pl.col("rater_kind").replace(_KINDS), comparisons="n",
        squared_error="mse", less_than_a_guess="mse_gain",
    )  # fmt: skip
    top = scores.filter(analysis="ceiling", measure="ceiling")
    limit = top.select(
        spearman=pl.lit(None, pl.String), pearson=pl.struct("value", "low", "high").map_elements(in_cell, pl.String),
        note="reason", who=pl.lit(CEILING), kind=pl.lit(None, pl.String), comparisons="n",
        squared_error=pl.lit(None, pl.String), less_than_a_guess=pl.lit(None, pl.String),
    )  # fmt: skip
    names = ["who", "kind", "spearman", "pearson", "squared_error", "less_than_a_guess", "comparisons", "note"]
    return pl.concat([shown.select(names), limit.select(names)])


_KINDS = {"trained": "reward model", "llm": "judge"}


def best(scores: pl.DataFrame, kind: str) -> dict[str, Any] | None:
    """Return the row of the model of a kind with the highest Spearman correlation; None where none has one."""
    part = scores.filter(analysis="models", rater_kind=kind, measure="spearman").drop_nulls("value")
    return next(iter(part.sort("value", "model", descending=[True, False]).to_dicts()), None)


def sentence(rated: Rated, predicted: Predicted, scores: pl.DataFrame, seed: int) -> str:
    """Return as a claim how well the best reward model predicts people, beside the best judge and the ceiling.

    scores: the table `reward_scores`, made with the same arguments.
    """
    if rated.lacking:
        return f"Nothing can be said of reward models: {rated.lacking}."
    word = rated.word
    model, judge = best(scores, "trained"), best(scores, "llm")
    if model is None:
        reason = scores.filter(analysis="models", rater_kind="trained", measure="spearman")["reason"].drop_nulls()
        return f"Nothing can be said of reward models: {next(iter(reason), 'there is none')}."
    n = len(np.unique(rated.requests[rated.counts > 0]))
    parts = [
        f"On {model['n']:,} comparisons of {n:,} requests that it had not seen, {model['model']} has a Spearman "
        f"correlation of {with_interval(interval_of(model), '{:.2f}')} with the mean rating of {word}"
    ]
    parts += _verdict(model)
    gain = scores.filter(analysis="models", model=model["model"], measure="mse_gain").row(0, named=True)
    parts.append(
        "The squared error of guessing the mean less its own: "
        f"{with_interval(interval_of(gain), '{:+.2f}')} squared points"
    )
    if judge is None:
        parts.append("There is no judge to hold it against")
    else:
        answers = said(rated, predicted)
        both = np.column_stack([answers[model["model"]], answers[judge["model"]]])
        first, second = fits(rated.mean, both, "spearman", rated.requests, draws=DRAWS, seed=seed)
        gap = out_of_fold(first.less(second), len(np.unique(rated.parts)), (-2.0, 2.0)).interval()
        parts.append(
            f"The best judge, {judge['model']}, has {with_interval(interval_of(judge), '{:.2f}')}; the reward model's "
            f"less the judge's: {with_interval(gap, '{:+.2f}')}"
        )
    top = interval_of(scores.filter(analysis="ceiling", measure="ceiling").row(0, named=True))
    if top.value != top.value:
        parts.append(f"What {word} share, and thus the ceiling, is not known: {top.reason}")
    else:
        what = f"Whoever knew exactly what {word} share, and nothing else, would reach"
        parts.append(f"{what} {with_interval(top, '{:.2f}')}")
    if SIMULATED in (rated.ratings.kinds[place] for place in rated.ratings.people):
        parts.append(
            "No reader can reach that here: what simulated annotators share is in part drawn by lot for each page, and "
            "stands in no text"
        )
    return ". ".join(parts) + "."


def _verdict(model: dict[str, Any]) -> list[str]:
    """Return what a correlation's interval says of whether a model predicts anything; nothing without an interval."""
    low, high = model["low"], model["high"]
    if low is None or high is None:
        return []
    if low <= 0 <= high:
        return ["It is not shown to predict anything: its interval holds 0"]
    return ["It is shown to predict them" if low > 0 else "It predicts the opposite of what they prefer"]


def curve_in_words(scores: pl.DataFrame) -> str:
    """Return in a sentence what more ratings bring; an empty string without a learning curve."""
    points = scores.filter(analysis="curve").drop_nulls("value").sort("n_ratings").to_dicts()
    if len(points) < 2:
        return ""
    first, last = points[0], points[-1]
    return (
        f"From {first['n_ratings']:,} to {last['n_ratings']:,} ratings the correlation goes from {first['value']:.2f} "
        f"to {last['value']:.2f}."
    )
