"""How simulated annotators compare responses: a planted quality of each generator, and what a mention is worth.

An annotator's rating is 3 + lean + the generator's quality + uplift where the response names the attribute outright +
what all see alike in the page + noise of its own, rounded to a whole number and held to 1 to 5. Page and noise are
normal draws. That a response names an attribute is read from its text by the lexical detector.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import polars as pl

from recenter_utils import lots
from recenter_utils.annotation import simulation
from recenter_utils.annotation.simulation import Annotator, Annotators, Preference
from recenter_utils.codebook.responses import CONDITIONS
from recenter_utils.inference.rules.naming import mentions
from recenter_utils.scales import PREFERENCE

_NORMAL = NormalDist()
_MIDDLE = PREFERENCE.lowest + len(PREFERENCE.labels) // 2


def with_truth(items: pl.DataFrame, comparisons: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Return items (`judgments.items_of`) with generator, and explicit: whether the personalised response names the
    attribute outright; both null for what is none of the comparisons.

    comparisons, responses: the tables.
    """
    texts = responses.select("text", personalised_id="response_id")
    worded = comparisons.join(texts, on="personalised_id", maintain_order="left")
    explicit = [mentions(text, attribute) for text, attribute in worded.select("text", "attribute").iter_rows()]
    truth = worded.select("generator", item_id="comparison_id").with_columns(
        explicit=pl.Series(explicit, dtype=pl.Boolean)
    )
    return items.join(truth, on="item_id", how="left", maintain_order="left")


def simulate(items: pl.DataFrame, who: Annotators, seed: int) -> pl.DataFrame:
    """Return what the annotators answer to each comparison with a planted truth (`known`).

    items: item_id, page_id, page (its place in the order of pages, from 0), generator and explicit, see `with_truth`.

    Columns: those of `simulation.ANSWERS`, with the label recoded, and first_shown: the response on the left, drawn for
    each annotator and page. Each answer is drawn by itself, as in `simulation.simulate`; the order decides none.
    """
    judged = items.filter(known(items, who))
    shared = {
        page: who.pages * _NORMAL.inv_cdf(lots.uniform(seed, "page", page)) for page in judged["page_id"].unique()
    }
    centres = [
        who.qualities[generator] + shared[page] for generator, page in judged.select("generator", "page_id").iter_rows()
    ]
    centred = judged.with_columns(centre=pl.Series(centres, dtype=pl.Float64))
    seen = centred.select("item_id", "page", seen=pl.struct("centre", "explicit"))
    found = simulation.work(seen, who, seed, _said)
    pages = dict(judged.select("item_id", "page_id").iter_rows())
    first = [
        CONDITIONS[lots.place(seed, "order", rater, pages[item]) % 2]
        for item, rater in found.select("item_id", "rater").iter_rows()
    ]
    return found.with_columns(first_shown=pl.Series(first, dtype=pl.String))


def known(items: pl.DataFrame, who: Annotators) -> pl.Series:
    """Return for which items, see `simulate`, a truth is planted."""
    planted = pl.col("generator").is_in(list(who.qualities)) & pl.col("explicit").is_not_null()
    return items.select(planted.fill_null(False)).to_series()


def expected_rating(centre: float, deviation: float) -> float:
    """Return the mean of normal draws, with this centre and deviation in points, rounded and held to the scale."""
    latent = NormalDist(centre, deviation)
    cuts = (PREFERENCE.lowest + step + 0.5 for step in range(len(PREFERENCE.labels) - 1))
    return PREFERENCE.lowest + sum(1 - latent.cdf(cut) for cut in cuts)


def expected_uplift(rule: Preference, who: Annotators, generator: str) -> float:
    """Return how many points a mention adds to an annotator's expected rating of a generator's responses.

    Rounding and the ends of the scale take a little of the rule's own uplift. generator: one of `who.qualities`.
    """
    deviation = math.hypot(rule.noise, who.pages)
    centre = _MIDDLE + rule.lean + who.qualities[generator]
    return expected_rating(centre + rule.uplift, deviation) - expected_rating(centre, deviation)


def _said(one: Annotator, seen: dict[str, Any], place: float) -> str | None:
    rule = one.preference
    if rule is None:
        return None
    labels = PREFERENCE.labels
    rating = _MIDDLE + rule.lean + seen["centre"] + rule.uplift * seen["explicit"] + rule.noise * _NORMAL.inv_cdf(place)
    return labels[min(max(round(rating) - PREFERENCE.lowest, 0), len(labels) - 1)]
