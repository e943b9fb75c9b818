"""How well a person does at what selectors are held to: each annotator left out, and held against the others.

A yardstick and no upper bound: a selector can agree with the others better than an annotator does, as whoever errs less
than a single person will. For the two to be comparable, a selector is measured on exactly the pairs and references on
which the annotator is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.annotation.annotators import for_page, included, wide
from recenter_utils.relevance.agreement import people_word
from recenter_utils.relevance.selection import ITEMS
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.scales import PEOPLE
from recenter_utils.stats import classification, references
from recenter_utils.tables import table

#: Rows of the mean over annotators: who is left out, and who is measured where it is the annotators themselves.
IN_TURN = "each in turn"
ANNOTATORS = "annotators"

#: One of them in words, by what all of them are (`people_word`).
_ONE = {"people": "a person", "simulated annotators": "a simulated annotator", "annotators": "an annotator"}

Array = NDArray[np.float64]


class Others(NamedTuple):
    """Each annotator's answers, and what the others said of the same pairs. Arrays have the shape (pairs, annotators).

    kinds: what each annotator is, `human` or `simulated`.
    answers: 1 or 0, NaN where there is none. truths: the others' majority, NaN where the annotator did not answer,
    nobody else did, or the others are divided. ties: how often that was, for each annotator. alone: how often nobody
    else answered.
    """

    names: list[str]
    kinds: list[str]
    requests: NDArray
    answers: Array
    truths: Array
    ties: list[int]
    alone: list[int]


def others(judgments: pl.DataFrame, pairs: pl.DataFrame, excluded: tuple[str, ...] = ()) -> Others:
    """Return what each annotator is held against.

    judgments: of any raters. pairs: pair_id and prompt_id; the rows of what is returned. excluded: annotators whom
    study.yaml leaves out.
    """
    people = included(judgments, excluded).filter(pl.col("rater_kind").is_in(PEOPLE))
    labels = wide(people).reindex(pairs["pair_id"].to_list())
    columns = [labels[name].map({"yes": 1.0, "no": 0.0}).to_numpy(dtype=float) for name in labels]
    answers: Array = np.array(columns, dtype=float).reshape(len(columns), len(pairs)).T
    known = ~np.isnan(answers)
    yes = np.nansum(answers, axis=1)[:, None] - np.nan_to_num(answers)
    no = known.sum(axis=1)[:, None] - known - yes
    truths = np.where(known & (yes != no), (yes > no).astype(float), np.nan)
    divided = known & (yes == no)
    ties, alone = (divided & (yes > 0)).sum(axis=0), (divided & (yes == 0)).sum(axis=0)
    names, known_kinds = [str(name) for name in labels.columns], dict(people.select("rater", "rater_kind").iter_rows())
    kinds = [known_kinds[name] for name in names]
    requests = pairs["prompt_id"].to_numpy()
    return Others(names, kinds, requests, answers, truths, ties.tolist(), alone.tolist())


def left_out(judgments: pl.DataFrame, found: pl.DataFrame, seed: int, excluded: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return the table `left_out_scores`: annotators against the others, and selectors on the same pairs.

    No rows with fewer than two annotators. With two, each is held against the other one.

    judgments: the table `relevance_judgments`. found: see `selection.selections`; baselines are not looked at.
    """
    rows: list[dict[Any, Any]] = []
    for items in ITEMS:
        given = found.filter(pl.col("items") == items, pl.col("rater_kind").is_not_null())
        pairs = found.filter(pl.col("items") == items).select("pair_id", "prompt_id").unique().sort("pair_id")
        held = others(judgments, pairs, excluded)
        if len(held.names) < 2 or pairs.is_empty():
            continue
        measured = _rows(held, None, None, held.answers, np.zeros(len(pairs), dtype=bool), seed)
        for (name, kind), part in given.group_by("selector", "rater_kind", maintain_order=True):
            part = part.sort("pair_id")
            answers, silent = _for_each(part["selected"], held), ~part["answered"].to_numpy()
            measured += _rows(held, str(name), str(kind), answers, silent, seed)
        rows += [row | {"items": items} for row in measured]
    return table("left_out_scores").frame(rows)


def _for_each(selected: pl.Series, held: Others) -> Array:
    """Return a selector's answers as often as there are annotators, shape (pairs, annotators)."""
    return np.repeat(selected.to_numpy().astype(float)[:, None], len(held.names), axis=1)


def _rows(
    held: Others, selector: str | None, kind: str | None, answers: Array, silent: NDArray[np.bool_], seed: int
) -> list[dict[Any, Any]]:
    """Return one selector's rows, or with None the annotators' own: against each one's others, and the mean."""
    all_alike = held.kinds[0] if len(set(held.kinds)) == 1 else None
    rows: list[dict[Any, Any]] = []
    unanswered = (~np.isnan(held.truths) & silent[:, None]).sum(axis=0).tolist()
    for place, name in enumerate(held.names):
        about: dict[str, Any] = {
            "left_out": name,
            "selector": selector or name,
            "rater_kind": kind or held.kinds[place],
            "n_ties": held.ties[place],
        }
        about["n_unanswered"] = unanswered[place]
        scores = classification.scores(held.truths[:, place], answers[:, place], held.requests, seed=seed)
        alone = f"{held.alone[place]:,} pairs that nobody else answered are left out" if held.alone[place] else ""
        rows += [about | row | {"reason": _joined(row["reason"], alone)} for row in scores.to_dict("records")]
    about = {
        "left_out": IN_TURN,
        "selector": selector or ANNOTATORS,
        "rater_kind": kind or all_alike,
        "n_ties": sum(held.ties),
        "n_unanswered": sum(unanswered),
    }
    scores = references.mean_scores(held.truths, answers, held.requests, seed=seed)
    return rows + [about | row for row in scores.to_dict("records")]


def _joined(*notes: str | None) -> str | None:
    return "; ".join(filter(None, notes)) or None


def means(scores: pl.DataFrame, items: str) -> pl.DataFrame:
    """Return the rows of the mean over annotators on one set of pairs as readers want them: a row a selector."""
    part = scores.filter(pl.col("items") == items, pl.col("left_out") == IN_TURN)
    names = {"rater_kind": "kind", "n_unanswered": "unanswered"}
    if part.is_empty():
        return pl.DataFrame(schema={"selector": pl.String, "kind": pl.String, "unanswered": pl.Int64})
    said = part.with_columns(text=pl.struct("value", "low", "high").map_elements(in_cell, pl.String))
    rows = said.pivot("metric", index=["selector", "rater_kind", "n_unanswered"], values="text", maintain_order=True)
    return rows.rename(names).select("selector", "kind", "precision", "recall", "f1", "accuracy", "kappa", "unanswered")


def single(scores: pl.DataFrame, names: Mapping[str, str], items: str = "all") -> pl.DataFrame:
    """Return each annotator against the others as readers want it, with the pairs that count and those that do not.

    names: see `annotators.page_names`.
    """
    part = scores.filter(pl.col("items") == items, pl.col("left_out") == pl.col("selector"))
    schema = {"left_out": pl.String, "pairs": pl.Int64, "others divided": pl.Int64}
    if part.is_empty():
        return pl.DataFrame(schema=schema)
    said = part.with_columns(text=pl.struct("value", "low", "high").map_elements(in_cell, pl.String))
    rows = said.pivot("metric", index=["left_out", "n", "n_ties"], values="text", maintain_order=True)
    rows = rows.rename({"left_out": "rater", "n": "pairs", "n_ties": "others divided"})
    rows = for_page(rows, names).rename({"rater": "left_out"})
    return rows.select("left_out", "precision", "recall", "f1", "accuracy", "kappa", "pairs", "others divided")


def sentence(
    judgments: pl.DataFrame, found: pl.DataFrame, scores: pl.DataFrame, seed: int, excluded: tuple[str, ...] = ()
) -> str:
    """Return the yardstick as a claim: annotators against the others, and the best selector on the same pairs.

    scores: the table `left_out_scores`, made with the same judgments, selections and seed.
    """
    mean = scores.filter(left_out=IN_TURN, items="all", metric="f1")
    people = mean.filter(selector=ANNOTATORS).to_dicts()
    if not people:
        return "What an annotator would reach cannot be said: that takes two annotators of the same pairs."
    held = others(judgments, _pairs(found), excluded)
    n = len(held.names)
    who, one = "the other one" if n == 2 else "the majority of the others", _ONE[people_word(held.kinds)]
    own = with_interval(interval_of(people[0]), "{:.2f}")
    said = f"Held against {who}, {one} reaches an F1 of {own} on average"
    rest = mean.filter(pl.col("selector") != ANNOTATORS).drop_nulls("value")
    if rest.is_empty() or people[0]["value"] is None:
        return f"{said}."
    top = rest.sort("value", "selector", descending=[True, False]).row(0, named=True)
    chosen = _for_each(found.filter(selector=top["selector"], items="all").sort("pair_id")["selected"], held)
    gap = references.mean_difference(held.truths, chosen, held.answers, "f1", held.requests, seed=seed)
    return (
        f"{said}; {top['selector']}, the best selector of all pairs, reaches "
        f"{with_interval(interval_of(top), '{:.2f}')} on the same pairs and references. "
        f"The {one.partition(' ')[2]}'s F1 less the selector's: {with_interval(gap, '{:+.2f}')}."
    )


def _pairs(found: pl.DataFrame) -> pl.DataFrame:
    return found.filter(items="all").select("pair_id", "prompt_id").unique().sort("pair_id")
