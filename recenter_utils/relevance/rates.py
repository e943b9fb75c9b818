"""How often people would say yes, from few of their labels and many of a model's: prediction-powered estimates.

Angelopoulos et al. (2023, Science 382) put a model's mean over many pairs right by its errors on few labelled ones;
tuned as in PPI++ (Angelopoulos, Duchi and Zrnic 2023), so that a useless model does no harm. Computed by `ppi_py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from recenter_utils.relevance.answers import NO_JUDGE, NO_REFERENCE, Answers, Array, Flags
from recenter_utils.settings import Calibration
from recenter_utils.tables import table

ALPHA = 0.05

#: What the row of people's labels alone is called after.
NOBODY = "nobody"

#: Draws that are estimated at once: their covariances are computed in pairs.
_AT_ONCE = 16

#: Share of the pairs from which on drawing without replacement narrows what the intervals do not know to be finite.
_LARGE = 0.1

#: A width that is nothing but rounding.
_NO_WIDTH = 1e-9

#: A narrowing that is not worth telling.
LEAST_GAIN = 0.01

#: Labels that the claim speaks of, or the next fewer that were tried.
SPOKEN_OF = 100


def estimate(pool: pl.DataFrame, judges: Sequence[Answers], rules: Calibration, seed: int = 0) -> pl.DataFrame:
    """Return the table `relevance_rates`: intervals for the rate of yes, and how often they hold that of all labels.

    Labelled pairs are drawn uniformly at random from all pairs, without replacement; the model's scores of all others
    are what is not labelled. The same draws serve all judges. Intervals are for pairs like these in general. They know
    nothing of the pairs being finitely many, and so hold the rate of these very pairs somewhat more often than 95%
    where the labels are a large share of them. An interval without a width says nothing: it is counted, left out of the
    mean ends and width, and never holds the rate.

    A prediction-powered estimate is right whatever is predicted: an answer without a graded score predicts its label,
    an unanswered pair a no. The rate by a model's own answers is over those that it gave.

    pool, judges: see `answers.referenced` and `answers.of_models`.
    """
    labels = pool["relevant"].to_numpy().astype(float)
    sizes = sorted(set(rules.labels))
    if not len(labels):
        return table("relevance_rates").empty()
    ends = _intervals(labels, [judge.predictions for judge in judges], sizes, rules.repeats, seed)
    rows = []
    for place, judge in enumerate([None, *judges]):
        name, method = (NOBODY, "people only") if judge is None else (judge.name, "prediction-powered")
        for n, found in zip(sizes, ends[place], strict=True):
            reason = _reason(found, n, len(labels), judge)
            rows.append({"judge": name, "method": method, "n_labels": n} | _row(found, labels.mean(), reason, judge))
    for judge in judges:
        yes = judge.yes[judge.answered].astype(float)
        found = _classical(yes[:, None]) if len(yes) else np.empty((0, 2))
        same = "all its answers are the same, and the interval has no width" if len(yes) else "it answered no pair"
        about = _row(found, labels.mean(), None if len(yes) and np.ptp(yes) else same, judge)
        rows.append({"judge": judge.name, "method": "model only", "n_labels": 0} | about)
    return table("relevance_rates").frame(rows)


def _intervals(labels: Array, scores: list[Array], sizes: list[int], repeats: int, seed: int) -> list[list[Array]]:
    """Return the ends of each interval: for people's labels alone, then for each judge; for each size (draws, 2)."""
    rng = np.random.default_rng(seed)
    found: list[list[list[Array]]] = [[[] for _ in sizes] for _ in range(1 + len(scores))]
    for start in range(0, repeats, _AT_ONCE):
        size = min(_AT_ONCE, repeats - start)
        order = rng.permuted(np.tile(np.arange(len(labels)), (size, 1)), axis=1).T
        for place, n in enumerate(sizes):
            # With every pair labelled there is nothing to predict.
            if n < len(labels):
                found[0][place].append(_classical(labels[order[:n]]))
                for number, given in enumerate(scores, 1):
                    found[number][place].append(_powered(labels[order[:n]], given[order[:n]], given[order[n:]]))
    nothing = np.empty((0, 2))
    return [[np.concatenate([nothing, *parts]) for parts in judge] for judge in found]


def _classical(labels: Array) -> Array:
    """Return `ppi_py.classical_mean_ci` of each column, shape (columns, 2)."""
    from ppi_py import classical_mean_ci

    return np.array([classical_mean_ci(column, alpha=ALPHA) for column in labels.T])


def _powered(labels: Array, scores: Array, others: Array) -> Array:
    """Return `ppi_py.ppi_mean_ci` of each column, tuned for each, shape (columns, 2)."""
    from ppi_py import ppi_mean_ci

    # A model that gives everything one score has nothing to tune by: the labels alone are left.
    lam = 0.0 if np.ptp(scores) == 0 and np.ptp(others) == 0 else None
    low, high = ppi_mean_ci(labels, scores, others, alpha=ALPHA, lam=lam, lam_optim_mode="element")
    return np.column_stack([np.ravel(low), np.ravel(high)])


def _reason(found: Array, n: int, pairs: int, judge: Answers | None) -> str | None:
    if n >= pairs:
        return f"there are {pairs:,} labelled pairs: with {n:,} of them labelled none is left to estimate"
    notes = []
    if flat := int(_flat(found).sum()):
        notes.append(
            f"in {flat} of {len(found)} draws the labels are all of one kind: an interval without a width, which is "
            "left out of the mean and held to miss the rate"
        )
    if judge is not None and np.ptp(judge.predictions) == 0:
        notes.append("its scores are all the same, so that people's labels alone are used")
    if n >= _LARGE * pairs:
        notes.append(f"{n / pairs:.0%} of all pairs are labelled, and so their rate is held somewhat too often")
    return "; ".join(notes) or None


def _row(found: Array, truth: float, reason: str | None, judge: Answers | None) -> dict[str, object]:
    row: dict[str, object] = {"truth": float(truth), "reason": reason}
    row["n_unanswered"] = 0 if judge is None else judge.n_unanswered
    flat = _flat(found)
    row |= {"n_repeats": len(found), "n_without_width": int(flat.sum())}
    if not len(found):
        return row
    row["value"] = float(found.mean())
    if flat.all():
        return row
    low, high = found[~flat].T
    held = (low <= truth) & (truth <= high)
    return row | {
        "low": float(low.mean()),
        "high": float(high.mean()),
        "width": float((high - low).mean()),
        "coverage": float(held.sum() / len(found)),
    }


def _flat(found: Array) -> Flags:
    """Return which intervals, shape (draws, 2), have no width."""
    return found[:, 1] - found[:, 0] < _NO_WIDTH


def widths(found: pl.DataFrame) -> pl.DataFrame:
    """Return the table `relevance_rates` as readers want it: by number of labels, width and in brackets coverage."""
    kept = found.filter(pl.col("method") != "model only")
    said = kept.with_columns(
        cell=pl.when(pl.col("width").is_null())
        .then(pl.lit("–"))
        .otherwise(pl.format("{} ({}%)", _two(pl.col("width")), (100 * pl.col("coverage")).round().cast(pl.Int64)))
    )
    if said.is_empty():
        return pl.DataFrame(schema={"estimated from": pl.String})
    named = pl.when(judge=NOBODY).then(pl.lit("labels alone")).otherwise(pl.format("labels and {}", "judge"))
    return said.with_columns(named.alias("estimated from")).pivot(
        "n_labels", index="estimated from", values="cell", maintain_order=True
    )


def _two(number: pl.Expr) -> pl.Expr:
    return number.map_elements("{:.2f}".format, pl.String)


def alone(found: pl.DataFrame) -> pl.DataFrame:
    """Return what each model's own answers say the rate is, and whether that interval holds the rate of all labels."""
    rows = found.filter(method="model only")
    return rows.select(
        "judge",
        pl.col("value").alias("its rate"),
        "low",
        "high",
        pl.col("truth").alias("rate of all labels"),
        (pl.col("coverage") == 1).alias("held"),
        pl.col("n_unanswered").alias("unanswered"),
    )


def sentence(found: pl.DataFrame) -> str:
    """Return in words what a model's answers add to few labels of people's. found: the table `relevance_rates`."""
    if found.is_empty():
        return f"Of the rate of yes nothing can be said: {NO_REFERENCE}."
    people = found.filter(method="people only").sort("n_labels")
    if people.drop_nulls("width").is_empty():
        return f"Of the rate of yes nothing can be estimated: {people['reason'][0]}."
    people = people.drop_nulls("width")
    chosen = people.filter(pl.col("n_labels") <= SPOKEN_OF).tail(1)
    (row,) = (chosen if len(chosen) else people.head(1)).to_dicts()
    said = (
        f"From {row['n_labels']} labels, drawn at random, the rate of yes ({row['truth']:.1%} of all labels) is known "
        f"to an interval {row['width']:.2f} wide on average, which holds it in {row['coverage']:.0%} of the draws"
    )
    if row["n_without_width"]:
        said += (
            f" (in {row['n_without_width']} of {row['n_repeats']} draws the labels are all of one kind and nothing is "
            "known: they are not in the average, and do not hold it)"
        )
    powered = found.filter(method="prediction-powered", n_labels=row["n_labels"]).drop_nulls("width")
    if powered.is_empty():
        return f"{said}; {NO_JUDGE}, so that there is nothing to add."
    best = powered.sort("width", "judge").to_dicts()[0]
    narrower = 1 - best["width"] / row["width"]
    models = f"{len(powered)} model{'s' * (len(powered) > 1)}"
    if narrower < LEAST_GAIN:
        said += f". None of {models} makes it narrower by {LEAST_GAIN:.0%} or more with its scores of all other pairs."
    else:
        said += (
            f". With the scores of {best['judge']} on all other pairs it is {best['width']:.2f} wide, {narrower:.0%} "
            f"less, the least of {models}, and holds it in {best['coverage']:.0%}."
        )
    return f"{said} {_own(found)}"


def _own(found: pl.DataFrame) -> str:
    """Say where the models' own answers put the rate."""
    own = found.filter(method="model only")
    known = own.drop_nulls("coverage")
    rates = sorted(own["value"].drop_nulls().to_list())
    if not rates:
        return "No model answered a pair, so that their own answers say nothing of it."
    where = f"at {rates[0]:.1%}" if len(rates) == 1 else f"between {rates[0]:.1%} and {rates[-1]:.1%}"
    said = (
        f"The models' own answers put it {where}; {int((known['coverage'] == 1).sum())} of {len(known)} such intervals"
    )
    none = len(own) - len(known)
    return f"{said} hold it{f', and {none} more have no width or no answer' if none else ''}."
